import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { parse } from 'yaml'
import { classifierModel } from '../helpers/classifier-models.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { assertSame } from '../helpers/same.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

/** One for all documents, because it compiles its schemas for each version once. */
const validator = new Validator()
const IRIS = path.resolve('examples/iris')
const DIGITS = path.resolve('examples/digits')

interface Media {
  schema: Record<string, unknown>
  examples?: Record<string, { value: unknown }>
}
interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: unknown
  parameters?: { in: string; name: string }[]
  requestBody?: { required?: boolean; content: Record<string, Media> }
  responses: Record<string, { content?: Record<string, Media> }>
}
interface Document {
  openapi: string
  servers: { url: string }[]
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, Record<string, unknown>>
    securitySchemes?: Record<string, unknown>
  }
}

test('the documents of both listeners are valid OpenAPI 3.1 and 3.0', async (t) => {
  const folder = temporaryFolder(t)
  const lists = [
    ['a b', '', 'Größe "x"'],
    [-1, 0, 1],
  ]
  const classifiers = lists.map((classes, index) =>
    writeModelFolder(folder, `classifier${index}`, classifierModel({ classes })),
  )
  const models = [IRIS, DIGITS, handlerModel(t, 'words'), ...classifiers]
  const server = await serve(t, models, { allowHandlers: true })
  const documents = [
    ...classifiers.map((model) => `/v2/models/${path.basename(model)}/openapi.json`),
    '/openapi.json',
    '/v2/models/iris/openapi.json',
    '/v2/models/digits/versions/1.0/openapi.json',
    '/v2/models/words/openapi.json',
  ]
  for (const [query, version] of [
    ['', '3.1.0'],
    ['?version=3.1.0', '3.1.0'],
    ['?version=3.0.3', '3.0.3'],
  ] as const) {
    for (const route of documents) await assertValid(await server.fetch(route + query), version)
    await assertValid(await server.manage(`/openapi.json${query}`), version)
    const yaml = await server.fetch(`/openapi.yaml${query}`)
    assert.equal(yaml.headers.get('content-type'), 'application/yaml')
    const asJson = await json(await server.fetch(`/openapi.json${query}`))
    assertSame(parse(await yaml.text()), asJson)
  }
  const unknown = await server.fetch('/openapi.json?version=2.0')
  assert.equal(unknown.status, 400)
})

/** The error body of the paths of each dialect. */
const ERRORS: readonly (readonly [path: RegExp, schema: string])[] = [
  [/^\/v1\/(embeddings|rerank)$/, 'OpenAIError'],
  [
    /^(\/models\/{model})?\/(embed(_all|_sparse)?|predict|rerank|similarity|tokenize|decode|info)$/,
    'TextEmbeddingsInferenceError',
  ],
  [/^\/v[12](\/|$)/, 'ProtocolError'],
]

test('every operation has its own id, a summary, a tag and a body for errors', async () => {
  const server = await sharedServer([IRIS, DIGITS])
  const inference = await documentOf(server.fetch('/openapi.json'))
  const management = await documentOf(server.manage('/openapi.json'))
  for (const document of [inference, management]) {
    const operations = operationsOf(document)
    const ids = operations.map(([, { operationId }]) => operationId)
    assert.equal(new Set(ids).size, ids.length)
    for (const [place, { operationId, summary, tags, responses }] of operations) {
      assert.match(operationId, /^[a-z][A-Za-z0-9_]*$/, place)
      assert.ok(summary.length > 5 && tags.length === 1, place)
      for (const status of ['4XX', '5XX']) {
        const schema = responses[status]?.content?.['application/json']?.schema ?? {}
        const name = ERRORS.find(([pattern]) => pattern.test(place))?.[1] ?? 'Error'
        assert.deepEqual(schema, { $ref: `#/components/schemas/${name}` }, place)
      }
    }
  }
  assert.deepEqual(Object.keys(inference.paths['/predictions/{model}'] ?? {}), ['post'])
  assert.ok('/v1/models/{model}:predict' in inference.paths)
  assert.ok('/models/{model}' in management.paths)
  assert.ok(!('/models' in inference.paths) && !('/predictions/iris' in management.paths))
})

test('every operation can check its parameters, which is compiled when it is first called', async (t) => {
  const server = await serve(t, [])
  for (const ask of [server.fetch, server.manage]) {
    const { paths } = await documentOf(ask('/openapi.json'))
    for (const [route, item] of Object.entries(paths)) {
      for (const [method, { parameters = [] }] of Object.entries(item)) {
        const query = parameters.filter((one) => one.in === 'query').map(({ name }) => `${name}=-1`)
        const url = `${route.replaceAll(/[{]\w+[}]/g, 'none')}?${query.join('&')}`
        const { status } = await ask(url, { method: method.toUpperCase() })
        assert.ok(status < 500, `${method} ${url}: ${status}`)
      }
    }
  }
  const refused = await server.manage('/models?limit=-1')
  assert.deepEqual(await json(refused), {
    code: 400,
    type: 'BadRequestException',
    message: 'Parameter limit must be an integer from 0 to 2147483647, not "-1".',
  })
})

test('the types of a model come from its inputs and outputs', async () => {
  const server = await sharedServer([IRIS, DIGITS])
  const { paths, components } = await documentOf(server.fetch('/v2/models/iris/openapi.json'))
  assert.deepEqual(
    Object.entries(paths).map(([route, item]) => [route, item['post']?.operationId]),
    [
      ['/predictions/iris', 'predictIris'],
      ['/v2/models/iris/infer', 'inferIris'],
    ],
  )
  assert.deepEqual(components.schemas['IrisPredictRequest'], {
    type: 'object',
    required: ['features'],
    properties: {
      features: {
        type: 'array',
        description: 'FP32 [N,4]. Dimension "N" of any size.',
        items: {
          type: 'array',
          description: 'Dimension of size 4.',
          minItems: 4,
          maxItems: 4,
          items: { type: 'number', format: 'float' },
        },
      },
    },
    unevaluatedProperties: false,
  })
  assert.deepEqual(pick(components.schemas['IrisPredictResponse'], 'properties', 'label'), {
    type: 'array',
    description: 'INT64 [N]. Dimension "N" of any size.',
    items: { type: 'string', enum: ['setosa', 'versicolor', 'virginica'] },
  })
  const input = pick(components.schemas['IrisInferRequest'], 'properties', 'inputs', 'items')
  assert.deepEqual(pick(input, 'properties', 'name'), {
    type: 'string',
    enum: ['features'],
    pattern: '^(features)$',
  })
  const { description, minItems, maxItems } = pick(input, 'properties', 'shape')
  assert.deepEqual([description, minItems, maxItems], ['[N,4].', 2, 2])
  assert.deepEqual(pick(input, 'properties', 'datatype'), { type: 'string', enum: ['FP32'] })
})

test('a classifier of images takes an image and responds with its labels', async () => {
  const server = await sharedServer([IRIS, DIGITS])
  const { paths, components } = await documentOf(server.fetch('/v2/models/digits/openapi.json'))
  const { requestBody } = operation(paths, '/predictions/digits')
  assert.deepEqual(Object.keys(requestBody?.content ?? {}), [
    'multipart/form-data',
    'image/png',
    'image/jpeg',
    'image/webp',
  ])
  assert.match(String(pick({ requestBody }, 'requestBody')['description']), /"b64"/)
  const infer = operation(paths, '/v2/models/digits/infer')
  assert.match(String(pick({ ...infer }, 'requestBody')['description']), /`BYTES`/)
  const { enum: labels } = pick(components.schemas['DigitsClass'], 'properties', 'class')
  assert.deepEqual(labels, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  assert.equal(components.schemas['DigitsPredictResponse']?.['maxItems'], 3)
  const nullable = pick(components.schemas['DigitsClass'], 'properties', 'probability')
  assert.deepEqual(nullable['type'], ['number', 'null'])
  const older = await documentOf(server.fetch('/v2/models/digits/openapi.json?version=3.0.3'))
  const olderNullable = pick(older.components.schemas['DigitsClass'], 'properties', 'probability')
  assert.deepEqual([olderNullable['type'], olderNullable['nullable']], ['number', true])
})

test('every example is answered with 200 as it is', { timeout: 120_000 }, async () => {
  const server = await sharedServer([IRIS, DIGITS])
  assert.equal(await sendExamples(server), 6)
})

test('examples of all datatypes are answered with 200', { timeout: 240_000 }, async (t) => {
  const names = ['bool', 'fp16', 'fp32', 'fp64', 'int8', 'int16', 'int32', 'int64']
  const models = [
    ...[...names, 'uint8', 'uint16', 'uint32', 'uint64'].map((name) => `identity_${name}`),
    'simple',
    'simple_string',
    'scalar_fp32',
    'add_with_initializer',
  ]
  const image = identityGraph({ type: 'FP32', shape: [1, 3, 224, 224] })
  const server = await serve(
    t,
    [
      ...models.map((name) => modelPath(name)),
      writeModelFolder(temporaryFolder(t), 'image', image),
    ],
    { workers: 1 },
  )
  const response = await server.fetch('/openapi.json')
  await assertValid(response.clone(), '3.1.0')
  await assertValid(await server.fetch('/openapi.json?version=3.0.3'), '3.0.3')
  // Of each model two operations, by the default version and by the version. The image is too large
  // for an example, and FP16 has none in the JSON of the protocol.
  assert.equal(await sendExamples(server), models.length * 4 - 2)
})

test('an ETag is that of the schema: it outlives what changes besides', async (t) => {
  const server = await serve(t, [IRIS], { allowLocalPaths: true })
  const route = '/v2/models/iris/openapi.json'
  const first = await server.fetch(route)
  const etag = first.headers.get('etag') ?? ''
  assert.match(etag, /^"[\w-]{43}"$/)
  assert.equal(first.headers.get('cache-control'), 'no-cache')
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await server.fetch(route, { headers: { 'if-none-match': known } })
    assert.deepEqual([again.status, await again.text()], [304, ''], known)
  }
  const changed = await server.fetch(route, { headers: { 'if-none-match': '"other"' } })
  assert.equal(changed.status, 200)

  const whole = (await server.fetch('/openapi.json')).headers.get('etag')
  await scaleAndPredict(server)
  assert.equal((await server.fetch(route)).headers.get('etag'), etag)
  assert.equal((await server.fetch('/openapi.json')).headers.get('etag'), whole)

  // The same model again is another default with the same types.
  const copy = await server.manage(register(IRIS, 'iris', '2.0'), { method: 'POST' })
  assert.equal(copy.status, 200, await copy.text())
  const moved = await server.manage('/models/iris/2.0/set-default', { method: 'PUT' })
  assert.equal(moved.status, 200)
  assert.equal((await server.fetch(route)).headers.get('etag'), etag)
  assert.notEqual((await server.fetch('/openapi.json')).headers.get('etag'), whole)

  // Another model under the same name is another schema.
  const other = await server.manage(register(DIGITS, 'iris', '3.0'), { method: 'POST' })
  assert.equal(other.status, 200, await other.text())
  await server.manage('/models/iris/3.0/set-default', { method: 'PUT' })
  const { paths } = await documentOf(server.fetch(route))
  assert.ok(
    'multipart/form-data' in (operation(paths, '/predictions/iris').requestBody?.content ?? {}),
  )
  const versioned = await documentOf(server.fetch('/v2/models/iris/versions/1.0/openapi.json'))
  assert.deepEqual(Object.keys(versioned.paths), [
    '/predictions/iris/1.0',
    '/v2/models/iris/versions/1.0/infer',
  ])
})

test('names that would be the same identifier are told apart, in any order of loading', async (t) => {
  const folder = temporaryFolder(t)
  const models = ['a-b', 'a.b', 'version', 'iris'].map((name) => {
    const copy = path.join(folder, name)
    cpSync(IRIS, copy, { recursive: true })
    return copy
  })
  const idsOf = async (server: TestServer): Promise<string[]> => {
    const { paths } = await documentOf(server.fetch('/openapi.json'))
    const ids = ['a-b', 'a.b', 'version', 'iris'].map(
      (name) => operation(paths, `/predictions/${name}`).operationId,
    )
    return ids
  }
  // The ids come from the names, so no worker is needed.
  const settings = { workers: 0 }
  const ids = await idsOf(await serve(t, models, settings))
  const [one = '', two = '', version = '', iris] = ids
  assert.match(one, /^predictAB_[0-9a-f]{6}$/)
  assert.match(two, /^predictAB_[0-9a-f]{6}$/)
  assert.notEqual(one, two)
  assert.match(version, /^predictVersion_[0-9a-f]{6}$/, 'there is a route called predictVersion')
  assert.equal(iris, 'predictIris')
  assert.deepEqual(await idsOf(await serve(t, models.toReversed(), settings)), ids)
})

test('OPTIONS and /api-description respond as MMS, with a document of version 3.0', async () => {
  const server = await sharedServer([IRIS])
  const options = { method: 'OPTIONS' }
  for (const ask of [server.fetch, server.manage]) {
    const document = await documentOf(ask('/', options))
    assert.equal(document.openapi, '3.0.3')
    assertSame(await documentOf(ask('/api-description')), document)
    assertSame(await documentOf(ask('/api-description', options)), document)
    assert.equal((await ask('/api-description/x')).status, 404)
    assert.equal((await ask('/api-description', { method: 'DELETE' })).status, 405)
  }
  const ofModel = async (answer: Promise<Response>): Promise<string[]> =>
    Object.keys((await documentOf(answer)).paths)
  const paths = ['/predictions/iris', '/v2/models/iris/infer']
  for (const route of [
    '/predictions/iris',
    '/invocations?model_name=iris',
    '/invocations',
    '/models/iris/invoke',
    '/iris/predict',
  ]) {
    assert.deepEqual(await ofModel(server.fetch(route, options)), paths, route)
  }
  assert.deepEqual(await ofModel(server.manage('/models/iris', options)), paths)
  assert.deepEqual(await ofModel(server.fetch('/predictions/iris/1.0', options)), [
    '/predictions/iris/1.0',
    '/v2/models/iris/versions/1.0/infer',
  ])
  assert.equal((await server.fetch('/predictions/missing', options)).status, 404)
  const missing = await server.fetch('/v2/models/missing/openapi.json')
  assert.deepEqual(
    [missing.status, await json(missing)],
    [404, { error: "Request for unknown model: 'missing' is not found" }],
  )
})

test('paths begin where the document is read, whatever is in front of the server', async () => {
  const server = await sharedServer([IRIS])
  for (const route of [
    '/openapi.json',
    '/openapi.json/',
    '/v2/models/iris/openapi.json',
    '/v2/models/iris/versions/1.0/openapi.json',
  ]) {
    const { servers } = await documentOf(server.fetch(route))
    const seen = new URL(servers[0]?.url ?? '', `https://example.org/a/b${route}`)
    assert.equal(seen.href, 'https://example.org/a/b/', route)
  }
})

test('the token is in the document of management, and the document behind the token', async (t) => {
  const server = await serve(t, [IRIS], { managementToken: 'a-token-of-the-tests' })
  assert.equal((await server.manage('/openapi.json')).status, 401)
  const headers = { authorization: 'Bearer a-token-of-the-tests' }
  const { paths, components } = await documentOf(server.manage('/openapi.json', { headers }))
  assert.ok(components.securitySchemes?.['managementToken'])
  assert.deepEqual(operation(paths, '/models').security, [{}, { managementToken: [] }])
  const inference = await documentOf(server.fetch('/openapi.json'))
  assert.equal(inference.components.securitySchemes, undefined)
})

async function assertValid(answer: Response, version: string): Promise<void> {
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/json')
  const text = await answer.text()
  assert.equal((JSON.parse(text) as Document).openapi, version)
  const { valid, errors } = await validator.validate(text)
  assert.ok(valid, `${answer.url} ${JSON.stringify(errors)}`)
}

async function documentOf(answer: Promise<Response>): Promise<Document> {
  const response = await answer
  assert.equal(response.status, 200, response.url)
  return (await json(response)) as Document
}

function operationsOf({ paths }: Document): [place: string, operation: Operation][] {
  return Object.entries(paths).flatMap(([route, item]) =>
    Object.values(item).map((one): [string, Operation] => [route, one]),
  )
}

function operation(paths: Document['paths'], route: string): Operation {
  const found = paths[route]?.['post']
  assert.ok(found, route)
  return found
}

/** Sends every example of the document and returns how many there were. */
async function sendExamples(server: TestServer): Promise<number> {
  let sent = 0
  const document = await documentOf(server.fetch('/openapi.json'))
  for (const [route, { requestBody }] of operationsOf(document)) {
    for (const [type, { examples = {} }] of Object.entries(requestBody?.content ?? {})) {
      for (const { value } of Object.values(examples)) {
        const answer = await server.fetch(route, {
          method: 'POST',
          headers: { 'content-type': type },
          body: JSON.stringify(value),
        })
        assert.equal(answer.status, 200, `${route} ${await answer.text()}`)
        sent++
      }
    }
  }
  return sent
}

async function scaleAndPredict(server: TestServer): Promise<void> {
  const scaled = await server.manage('/models/iris?min_worker=2&synchronous=true', {
    method: 'PUT',
  })
  assert.equal(scaled.status, 200)
  const answer = await server.fetch('/predictions/iris', { method: 'POST', body: '[[1,2,3,4]]' })
  assert.equal(answer.status, 200)
}

function register(folder: string, name: string, version: string): string {
  const query = new URLSearchParams({ url: folder, model_name: name, model_version: version })
  return `/models?${query.toString()}`
}

function pick(value: unknown, ...names: string[]): Record<string, unknown> {
  let inner = value
  for (const name of names) {
    assert.ok(typeof inner === 'object' && inner !== null && name in inner, name)
    inner = (inner as Record<string, unknown>)[name]
  }
  assert.ok(typeof inner === 'object' && inner !== null)
  return { ...inner }
}
