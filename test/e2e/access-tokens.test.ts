/** API tokens: which requests need one, what a token may do, and how tokens change. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { httpProcesses } from '../helpers/http-processes.ts'
import { sendRaw } from '../helpers/raw-request.ts'
import type { RawAnswer } from '../helpers/raw-request.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { CLI, json, serve, start, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const cleanups: (() => unknown)[] = []
const file: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(() => {
  for (const run of cleanups.toReversed()) run()
})

const run = promisify(execFile)
const secret = (): string => randomBytes(24).toString('base64url')
const TOKENS = { all: secret(), irises: secret(), words: secret(), admin: secret(), both: secret() }
const sha256 = (token: string): string => createHash('sha256').update(token).digest('hex')

const folder = temporaryFolder(file)
const tokensFile = path.join(folder, 'tokens.yaml')
writeFileSync(
  tokensFile,
  JSON.stringify([
    { name: 'all', token: TOKENS.all },
    { name: 'irises', token: TOKENS.irises, models: ['ir*s'] },
    { name: 'words', sha256: sha256(TOKENS.words), models: ['sentence', 'other'] },
    { name: 'admin', token: TOKENS.admin, scope: 'management' },
    { name: 'both', token: TOKENS.both, scope: ['inference', 'management'] },
  ]),
)
const sentence = tinyTextModel(file, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
const guarded = (): Promise<TestServer> =>
  sharedServer([iris, sentence], { tokensFile, exposeRepository: true })

type Name = keyof typeof TOKENS
const bearer = (name: Name): { authorization: string } => ({
  authorization: `Bearer ${TOKENS[name]}`,
})
const predict = (server: TestServer, headers: Record<string, string>): Promise<Response> =>
  server.fetch('/predictions/iris', { ...FLOWER, headers: { ...FLOWER.headers, ...headers } })

test('without a valid token a request gets 401, in the error form of its dialect', async () => {
  const server = await guarded()
  const none = 'Bearer realm="onnxd"'
  const wrong = `${none}, error="invalid_token"`
  const text = 'A valid bearer token is required.'
  const cases: readonly [method: string, route: string, body: unknown][] = [
    ['POST', '/predictions/iris', { code: 401, type: 'UnauthorizedException', message: text }],
    ['POST', '/predictions/nothing', { code: 401, type: 'UnauthorizedException', message: text }],
    ['GET', '/nowhere', { code: 401, type: 'UnauthorizedException', message: text }],
    ['POST', '/invocations', { code: 401, type: 'UnauthorizedException', message: text }],
    ['POST', '/v2/models/iris/infer', { error: text }],
    ['GET', '/v2/models/iris/ready', { error: text }],
    ['POST', '/v2/repository/models/iris/unload', { error: text }],
    ['POST', '/v1/models/iris:predict', { error: text }],
    ['POST', '/embed', { error: text, error_type: 'Validation' }],
    [
      'POST',
      '/v1/embeddings',
      {
        error: {
          message: text,
          type: 'invalid_request_error',
          param: null,
          code: 'UnauthorizedException',
        },
      },
    ],
  ]
  for (const [method, route, body] of cases) {
    for (const [authorization, challenge] of [
      [undefined, none],
      ['Basic eDp4', none],
      ['Bearer wrong', wrong],
    ] as const) {
      const headers = authorization === undefined ? {} : { authorization }
      const response = await server.fetch(route, { method, headers })
      assert.equal(response.status, 401, route)
      assert.equal(response.headers.get('www-authenticate'), challenge)
      assert.deepEqual(await json(response), body)
    }
  }
  assert.equal((await predict(server, bearer('all'))).status, 200)
})

test('health paths and the page of the API need no token', async () => {
  const server = await guarded()
  const open = ['/', '/ping', '/v2/health/live', '/v2/health/ready', '/docs', '/docs/start.js']
  for (const route of open) {
    for (const headers of [{}, { authorization: 'Bearer old' }, { authorization: 'Basic eDp4' }]) {
      const response = await server.fetch(route, { headers })
      assert.equal(response.status, 200, route)
      await response.arrayBuffer()
    }
    assert.equal((await server.manage(route)).status, 401, `management ${route}`)
  }
})

test('an OpenAPI document shows the models that the token may use', async () => {
  const server = await guarded()
  const paths = async (route: string, headers: Record<string, string>): Promise<string> => {
    const response = await server.fetch(route, { headers })
    assert.equal(response.status, 200)
    const { paths: found } = (await json(response)) as { paths: Record<string, object> }
    return Object.keys(found).join(' ')
  }
  for (const route of ['/openapi.json', '/api-description']) {
    assert.doesNotMatch(await paths(route, {}), /iris|sentence/)
    assert.match(await paths(route, bearer('all')), /iris.*sentence/)
    const some = await paths(route, bearer('irises'))
    assert.match(some, /\/predictions\/iris/)
    assert.doesNotMatch(some, /sentence/)
    const headers = { authorization: 'Bearer wrong' }
    assert.equal((await server.fetch(route, { headers })).status, 401)
  }
  const document = (await json(await server.fetch('/openapi.json'))) as {
    components: { securitySchemes: Record<string, unknown> }
    paths: Record<string, Record<string, { security?: unknown }>>
  }
  assert.ok(document.components.securitySchemes['token'])
  assert.deepEqual(document.paths['/predictions/{model}']?.['post']?.security, [{ token: [] }])
  assert.equal(document.paths['/ping']?.['get']?.security, undefined)
})

/** Requests for the model `sentence`, on each kind of path. */
const FOR_SENTENCE: readonly [method: string, route: string, body?: string][] = [
  ['POST', '/predictions/sentence', '["a cat"]'],
  ['POST', '/predictions/sentence/1.0', '["a cat"]'],
  ['POST', '/predictions/%73entence', '["a cat"]'],
  ['POST', '/predictions/sentence/', '["a cat"]'],
  ['POST', '/models/sentence/invoke', '["a cat"]'],
  ['POST', '/sentence/predict', '["a cat"]'],
  ['POST', '/invocations?model_name=sentence', '["a cat"]'],
  ['POST', '/invocations?x=1&model%5fname=%73entence', '["a cat"]'],
  ['POST', '/v2/models/sentence/infer', '{}'],
  ['POST', '/v2/models/sentence/versions/1.0/infer', '{}'],
  ['POST', '/v1/models/sentence:predict', '{"instances":["a cat"]}'],
  ['GET', '/v1/models/sentence'],
  ['GET', '/v2/models/sentence'],
  ['GET', '/v2/models/sentence/ready'],
  ['GET', '/v2/models/sentence/config'],
  ['GET', '/v2/models/sentence/stats'],
  ['GET', '/v2/models/sentence/openapi.json'],
  ['OPTIONS', '/predictions/sentence'],
  ['OPTIONS', '/invocations?model_name=sentence'],
  ['POST', '/v2/repository/models/sentence/load', '{}'],
  ['POST', '/models/sentence/embed', '{"inputs":"a cat"}'],
  ['GET', '/models/sentence/info'],
  ['POST', '/v1/embeddings', '{"model":"sentence","input":"a cat"}'],
  ['POST', '/v1/embeddings', '{"model":"sentence:1.0","input":"a cat"}'],
  ['POST', '/v1/embeddings', String.raw`{"model":"s\u0065ntence","input":"a cat"}`],
  ['POST', '/v1/embeddings', '{"input":"a cat"}'],
  ['POST', '/embed', '{"inputs":"a cat"}'],
  ['POST', '/embed?model=iris', '{"inputs":"a cat"}'],
  ['GET', '/info'],
]

test('a token with models may use no other model, however its name is written', async () => {
  const server = await guarded()
  const headers = { 'content-type': 'application/json' }
  const ask = async (
    [method, route, body]: (typeof FOR_SENTENCE)[number],
    name: Name,
  ): Promise<[number, string]> => {
    const sent = { ...headers, ...bearer(name) }
    const init = body === undefined ? { method, headers: sent } : { method, headers: sent, body }
    const response = await server.fetch(route, init)
    const challenge = response.headers.get('www-authenticate') ?? ''
    const text = await response.text()
    if (response.status === 403) assert.match(text, /token of this request/)
    return [response.status, challenge]
  }
  const refused = [403, 'Bearer realm="onnxd", error="insufficient_scope"']
  for (const request of FOR_SENTENCE) {
    const what = request.join(' ')
    assert.deepEqual(await ask(request, 'irises'), refused, what)
    assert.ok([200, 400].includes((await ask(request, 'words'))[0]), what)
    assert.deepEqual(await ask(request, 'admin'), refused, what)
  }
  // The first of two names counts, for the check and for the prediction.
  const twice = '{"model":"iris","model":"sentence","input":"a cat"}'
  assert.equal((await ask(['POST', '/v1/embeddings', twice], 'irises'))[0], 400)
  assert.equal((await ask(['POST', '/v1/embeddings', twice], 'words'))[0], 403)
  // A model that does not exist looks like one that the token may not use.
  for (const route of ['/predictions/unknown', '/v2/models/unknown', '/predictions/Iris'])
    assert.deepEqual(await ask(['GET', route], 'irises'), refused)
  assert.deepEqual(await ask(['POST', '/v1/embeddings', '{"model":"unknown"}'], 'irises'), refused)
  assert.equal((await ask(['GET', '/predictions/unknown'], 'all'))[0], 404)
})

test('lists show the models that the token may use', async () => {
  const server = await guarded()
  const names = async (route: string, name: Name, method = 'GET'): Promise<string[]> => {
    const text = await (await server.fetch(route, { method, headers: bearer(name) })).text()
    return ['iris', 'sentence'].filter((model) => text.includes(`"${model}"`))
  }
  for (const [route, method] of [
    ['/v1/models'],
    ['/v2/models'],
    ['/v2/models/stats'],
    ['/v2/repository/index', 'POST'],
  ] as const) {
    assert.deepEqual(await names(route, 'all', method), ['iris', 'sentence'], route)
    assert.deepEqual(await names(route, 'irises', method), ['iris'], route)
    assert.deepEqual(await names(route, 'words', method), ['sentence'], route)
  }
})

test('a token is valid for its listener only', async () => {
  const server = await guarded()
  const status = async (name: Name): Promise<number[]> => [
    (await predict(server, bearer(name))).status,
    (await server.manage('/models', { headers: bearer(name) })).status,
  ]
  assert.deepEqual(await status('all'), [200, 403])
  assert.deepEqual(await status('admin'), [403, 200])
  assert.deepEqual(await status('both'), [200, 200])
})

test('the bench command sends the token of its environment', async () => {
  const server = await guarded()
  const bench = async (environment: NodeJS.ProcessEnv): Promise<string> => {
    const args = [CLI, 'bench', 'iris', '-s', '0.1', '--warm-up', '0', '-c', '1', '--json']
    const env = { ...process.env, ONNXD_INFERENCE_URL: server.inferenceUrl, ...environment }
    return (await run(process.execPath, args, { env })).stdout
  }
  await assert.rejects(bench({}), ({ stdout }: { stdout: string }) => {
    return /requires one\. Set ONNXD_INFERENCE_TOKEN/.test(stdout)
  })
  const { errors } = JSON.parse(await bench({ ONNXD_INFERENCE_TOKEN: TOKENS.irises })) as {
    errors: unknown
  }
  assert.equal(errors, 0)
})

test('odd headers are no way in', async () => {
  const server = await guarded()
  const token = TOKENS.all
  const ask = (...lines: string[]): Promise<RawAnswer> =>
    sendRaw(server.inferenceUrl, {
      path: '/predictions/iris',
      headers: ['content-type', 'application/json', ...lines.flatMap((line) => line.split(': '))],
      body: FLOWER.body,
    })
  for (const line of [
    'authorization: Bearer ',
    'authorization: Bearer',
    `authorization: ${token}`,
    `authorization: Bearer${token}`,
    `authorization: Bearer ${token}x`,
    `authorization: Bearer ${token.slice(1)}`,
    `authorization: Bearer ${token}, Bearer ${token}`,
    `authorization: Bearer "${token}"`,
    `authorization: Bearer ${encodeURIComponent(`${token}=`)}`,
    `authorization: Bearer ${Buffer.from(token).toString('base64')}`,
    `authorization: Bearer ${sha256(token)}`,
    `authorization: Bearer ${'x'.repeat(12_000)}`,
    `authorization: Bearer ${token}\u00a0`,
    `authorization: Bearer ${'\u00ff'.repeat(40)}`,
    `proxy-authorization: Bearer ${token}`,
    `x-api-key: ${token}`,
    `cookie: token=${token}`,
  ])
    assert.equal((await ask(line)).status, 401, line)
  for (const other of ['Bearer wrong', `Bearer ${token}`, ''])
    assert.equal(
      (await ask(`authorization: Bearer ${token}`, `Authorization: ${other}`)).status,
      401,
    )
  for (const scheme of ['bearer', 'BEARER', 'bEaReR', 'Bearer  '])
    assert.equal((await ask(`authorization: ${scheme} ${token}`)).status, 200, scheme)
  const query = await server.fetch(`/predictions/iris?access_token=${token}`, FLOWER)
  assert.equal(query.status, 401)
})

test('the access log has the name of the token, and nothing has its value', async () => {
  const server = await guarded()
  await predict(server, bearer('irises'))
  const line = await server.logged(({ msg, token }) => msg === 'request' && token === 'irises')
  assert.equal(line['status'], 200)
  await predict(server, { authorization: 'Bearer wrong-token' })
  const rejected = await server.logged(({ status }) => status === 401)
  assert.equal(rejected['token'], undefined)
  const settings = await server.manage('/models/iris', { headers: bearer('admin') })
  const log = await server.manage('/models/iris/log', { headers: bearer('admin') })
  const written = [JSON.stringify(server.logLines), await settings.text(), await log.text()]
  for (const value of [...Object.values(TOKENS), ...Object.values(TOKENS).map(sha256)])
    for (const text of written) assert.ok(!text.includes(value))
})

test('tokens change with their file, and a broken file changes nothing', async (t) => {
  const changing = path.join(temporaryFolder(t), 'tokens.json')
  const replace = (content: string): void => {
    writeFileSync(`${changing}.new`, content)
    renameSync(`${changing}.new`, changing)
  }
  const [first, second] = [secret(), secret()]
  replace(JSON.stringify([{ name: 'first', token: first }]))
  const server = await serve(t, [iris], { tokensFile: changing })
  const status = async (token: string): Promise<number> =>
    (await predict(server, { authorization: `Bearer ${token}` })).status
  /** Waits until each HTTP process has read these tokens. */
  const readAgain = (names: string): Promise<boolean> =>
    until(() => {
      const read = server.logLines.filter(
        ({ msg, tokens }) => msg === 'API tokens were read again' && String(tokens) === names,
      )
      return read.length === httpProcesses
    })
  assert.deepEqual([await status(first), await status(second)], [200, 401])
  // No token of the file is for management, which is on this machine only.
  assert.equal((await server.manage('/models')).status, 200)

  replace(
    JSON.stringify([
      { name: 'first', token: first },
      { name: 'second', sha256: sha256(second) },
    ]),
  )
  await readAgain('first,second')
  assert.deepEqual([await status(first), await status(second)], [200, 200])

  replace(`[{"name": "third", "token": "${first}", }}`)
  const problem = await server.logged(({ level }) => level === 50)
  assert.match(String(problem['reason']), /^it is not valid JSON or YAML in line 1/)
  assert.ok(!JSON.stringify(server.logLines).includes(first))
  assert.deepEqual([await status(first), await status(second)], [200, 200])

  const admin = secret()
  replace(
    JSON.stringify([
      { name: 'second', token: second },
      { name: 'admin', token: admin, scope: 'management' },
    ]),
  )
  await readAgain('second,admin')
  assert.deepEqual([await status(first), await status(second)], [401, 200])
  assert.equal((await server.manage('/models')).status, 401)
  const headers = { authorization: `Bearer ${admin}` }
  assert.equal((await server.manage('/models', { headers })).status, 200)

  // An empty list closes both listeners; it does not open them.
  replace('[]')
  await readAgain('')
  assert.deepEqual(
    [await status(second), (await server.manage('/models', { headers })).status],
    [401, 401],
  )
})

test('tokens come from the environment too, and the old management token stays valid', async (t) => {
  const [client, admin] = [secret(), secret()]
  const environment = {
    ONNXD_TOKENS: `tokens: [{name: client, token: ${client}}, {name: admin, token: ${admin}, scope: management}]`,
    ONNXD_MANAGEMENT_TOKEN: 'old-token',
  }
  // Both listeners on one port, as in SageMaker's multi-model endpoints.
  const port = 18_000 + (process.pid % 2000)
  const server = await start(t, [iris, `--port=${port}`, `--management-port=${port}`], {
    environment,
  })
  const ask = async (route: string, token: string, method = 'GET'): Promise<number> => {
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` }
    return (await server.fetch(route, { method, headers })).status
  }
  for (const token of [admin, 'old-token']) {
    assert.equal(await ask('/models', token), 200)
    assert.equal(await ask('/models/iris', token), 200)
    assert.equal(await ask('/v2/models', token), 403)
  }
  for (const route of ['/models', '/models/iris', '/metrics', '/models/iris/log']) {
    assert.equal(await ask(route, client), 403, route)
    for (const method of ['GET', 'PATCH', 'OPTIONS', 'TRACE'].filter((one) => one !== 'TRACE'))
      assert.equal(await ask(route, '', method), 401, `${method} ${route}`)
  }
  assert.equal(await ask('/v2/models', client), 200)
  assert.equal(await ask('/ping', ''), 200)
})

test('a mistake in the tokens ends the start, without showing them', async (t) => {
  const token = secret()
  const environment = { ONNXD_TOKENS: `[{name: a, token: "${token} x"}]` }
  const starting = start(t, ['--port=0', '--management-port=0'], { environment })
  await assert.rejects(starting, (error: Error) => {
    assert.match(error.message, /tokens cannot be used: token a: token must be a text/)
    return !error.message.includes(token)
  })
})
