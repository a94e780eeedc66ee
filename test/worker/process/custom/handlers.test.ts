import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { WireHeader, WorkerReply } from '../../../../src/worker/wire/messages.ts'
import { assertSame } from '../../../helpers/same.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'
import { until } from '../../../helpers/until.ts'
import { modelFolder, startWorker, wireRequest } from '../../../helpers/worker-client.ts'
import type { WorkerStart } from '../../../helpers/worker-client.ts'

/** A worker with one connection, and a model folder with the given files. */
async function workerWith(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  environment: NonNullable<WorkerStart['environment']> = {},
) {
  const worker = await startWorker(t, { environment })
  const modelPath = await modelFolder(t, files)
  const client = await worker.connect()
  return { worker, client, modelPath }
}

/** As {@link workerWith}, with `service.mjs` loaded. */
async function modelOf(t: TestContext, code: string, environment?: Record<string, string>) {
  const started = await workerWith(t, { 'service.mjs': code }, environment)
  const reply = await started.client.load({ modelPath: started.modelPath })
  assert.equal(reply.code, 200, reply.message)
  return started
}

function bodies(reply: WorkerReply): unknown[] {
  return reply.predictions.map(({ body }) => (body.length === 0 ? '' : JSON.parse(String(body))))
}

/** What a handler does for each golden reply; `undefined` stands for no return value. */
const GOLDEN = `
  const deeds = {
    '503-exception': () => { throw new Error('x') },
    '503-exception-batch2': () => { throw 'not even an error' },
    '503-none': () => undefined,
    '503-not-a-list': () => 'OK',
    '503-unserialisable': () => [() => 'a function'],
    '503-unserialisable-second': () => ['fine', 10n],
    '503-wrong-length': () => ['a', 'b', 'c'],
    '507-memory': () => { throw new RangeError('Array buffer allocation failed') },
    batch8: (n) => Array.from({ length: n }, (_, i) => 'out' + i),
    bool: () => [true],
    bytearray: () => [new Uint8Array([0, 0x62, 0x61]).subarray(1)],
    'content-type': (_, c) => { c.setResponseContentType(0, 'text/csv; charset=utf-8'); return ['OK'] },
    'custom-status': (_, c) => { c.setResponseStatus(404, 'Not Here', 0); return ['OK'] },
    'custom-status-no-phrase': (_, c) => { c.setResponseStatus(507); return ['OK'] },
    'empty-batch': () => [],
    'empty-str': () => [''],
    headers: (_, c) => {
      c.setResponseHeader(0, 'X-One', 1)
      c.setResponseHeader(0, 'X-Two', 'two')
      c.setResponseHeader(0, 'X-Utf8', 'é')
      return ['OK']
    },
    int: () => [7],
    list: () => [[1, 2, [3]]],
    none: () => [null],
    'prediction-exception': (_, c) => { throw new c.PredictionException('Some Prediction Error', 599) },
    'prediction-exception-default': (_, c) => { throw new c.PredictionException('bad input') },
    'str-unicode': () => ['héllo'],
  }
  export function handle(data, context) {
    return data && deeds[data[0]?.deed ?? 'empty-batch'](data.length, context)
  }
  export const names = Object.keys(deeds)`

type GoldenReply = readonly [code: number, message: string, ...predictions: GoldenPrediction[]]
type GoldenPrediction = readonly [
  body: string,
  status?: number,
  phrase?: string,
  contentType?: string,
  headers?: readonly WireHeader[],
]

const success = (...predictions: GoldenPrediction[]): GoldenReply => [
  200,
  'Prediction success',
  ...predictions,
]
const CSV = 'text/csv; charset=utf-8'

/** What Python's worker replies where a handler does the same. */
const REPLIES: Readonly<Record<string, GoldenReply>> = {
  '503-exception': [503, 'Prediction failed', ['error', 503]],
  '503-exception-batch2': [503, 'Prediction failed', ['error', 503], ['error', 503]],
  '503-none': [503, 'Invalid model predict output', ['error', 503]],
  '503-not-a-list': [503, 'Invalid model predict output', ['error', 503]],
  '503-unserialisable': [503, 'Unsupported model output data type.', ['error', 503]],
  '503-unserialisable-second': [
    503,
    'Unsupported model output data type.',
    ['error', 503],
    ['error', 503],
  ],
  '503-wrong-length': [503, 'number of batch response mismatched', ['error', 503]],
  '507-memory': [507, 'Out of resources', ['error', 507]],
  batch8: success(...Array.from({ length: 8 }, (_, index) => [`out${index}`] as const)),
  bool: success(['true']),
  bytearray: success(['ba']),
  'content-type': success(['OK', 200, '', CSV, [['content-type', CSV]]]),
  'custom-status': success(['OK', 404, 'Not Here']),
  'custom-status-no-phrase': success(['OK', 507]),
  'empty-batch': success(),
  'empty-str': success(['']),
  headers: success([
    'OK',
    200,
    '',
    '',
    [
      ['X-One', '1'],
      ['X-Two', 'two'],
      ['X-Utf8', 'é'],
    ],
  ]),
  int: success(['7']),
  list: success(['[\n  1,\n  2,\n  [\n    3\n  ]\n]']),
  none: success(['null']),
  'prediction-exception': [599, 'Some Prediction Error', ['error', 599]],
  'prediction-exception-default': [500, 'bad input', ['error', 500]],
  'str-unicode': success(['héllo']),
}

function integerBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function textBytes(text: string): Buffer {
  return Buffer.concat([integerBytes(Buffer.byteLength(text)), Buffer.from(text)])
}

/** A reply as docs/worker-protocol.md lays it out. */
function replyBytes([code, message, ...predictions]: GoldenReply, ids: readonly string[]): Buffer {
  const parts = predictions.flatMap(
    ([body, status = 200, phrase = '', contentType = '', headers = []], index) => [
      textBytes(ids[index] ?? ''),
      textBytes(contentType),
      integerBytes(status),
      textBytes(phrase),
      integerBytes(headers.length),
      ...headers.flat().map(textBytes),
      textBytes(body),
    ],
  )
  return Buffer.concat([integerBytes(code), textBytes(message), ...parts, integerBytes(-1)])
}

/** The bytes of a reply to one handler's deed in a batch of these requests. */
async function golden(
  t: TestContext,
): Promise<(name: string, ids: readonly string[]) => Promise<string>> {
  const { client } = await modelOf(t, GOLDEN)
  const received: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => received.push(chunk))
  return async (name, ids) => {
    received.length = 0
    await client.predict(ids.map((id) => wireRequest([['deed', name, 'text/plain']], [], id)))
    return Buffer.concat(received).toString('hex')
  }
}

test('the replies to what handlers do come byte for byte', async (t) => {
  const replyTo = await golden(t)
  const names = [...GOLDEN.matchAll(/^    '?([\w-]+)'?: \(/gm)].map(([, name]) => name ?? '')
  assert.deepEqual(new Set(names), new Set(Object.keys(REPLIES)))
  for (const [name, reply] of Object.entries(REPLIES)) {
    const ids = reply.slice(2).map((_, index) => `r${index}`)
    assertSame(await replyTo(name, ids), replyBytes(reply, ids).toString('hex'), name)
  }
})

testShared('so do those of the shared vectors', {}, async (t) => {
  const replyTo = await golden(t)
  for (const name of Object.keys(REPLIES)) {
    const file = sharedPath('vectors/mms', `predict-response-${name}.json`)
    const vector = JSON.parse(readFileSync(file, 'utf8'))
    const ids: string[] = vector.decoded.predictions.map(
      ({ requestId }: { requestId: string }) => requestId,
    )
    assert.equal(await replyTo(name, ids), vector.hex, name)
  }
})

test('where JavaScript writes JSON otherwise than Python, the value is the same or null', async (t) => {
  const { client } = await modelOf(
    t,
    `const outputs = [
        { class: 'cat', n: 1.0, u: 'ü', e: [], o: {}, x: null },
        [NaN, Infinity, -0, 1e22],
        new Float32Array([0.5, 1]),
        new Date(0),
      ]
      export const handle = (data) => data && outputs`,
  )
  const reply = await client.predict(['a', 'b', 'c', 'd'].map((id) => wireRequest([], [], id)))
  assert.deepEqual(bodies(reply), [
    { class: 'cat', n: 1, u: 'ü', e: [], o: {}, x: null },
    [null, null, 0, 1e22],
    [0.5, 1],
    '1970-01-01T00:00:00.000Z',
  ])
  assert.match(String(reply.predictions[0]?.body), /^\{\n  "class": "cat",\n/)
  assert.ok(reply.predictions.every(({ contentType }) => contentType === ''))
})

test('results that JSON cannot hold, and errors of every kind, fail the batch and nothing more', async (t) => {
  const { client, worker } = await modelOf(
    t,
    `const circular = {}; circular.self = circular
      const deep = () => { let value = []; for (let i = 0; i < 1e5; i++) value = [value]; return value }
      const cases = {
        undefined: () => [undefined],
        circular: () => [circular],
        bigint: () => [{ n: 1n }],
        deep: () => [deep()],
        toJSON: () => [{ toJSON() { throw new Error('no') } }],
        arrayLike: () => ({ length: 1, 0: 'x' }),
        reject: () => Promise.reject(new Error('later')),
        nothing: () => { throw undefined },
        hostile: () => { throw { get message() { throw new Error('again') }, toString: null } },
        huge: () => { throw Object.assign(new Error('m'.repeat(1e7)), { statusCode: 418 }) },
        code: () => { throw Object.assign(new Error('gone'), { statusCode: 1e9 }) },
        index: (c) => c.getRequestHeader(1, 'x'),
        native: () => { throw new Error('... std::bad_alloc') },
      }
      export const handle = async (data, context) => data && cases[data[0].case](context)`,
  )
  const unsupported = 'Unsupported model output data type.'
  const expected: [name: string, code: number, message: string][] = [
    ['undefined', 503, unsupported],
    ['circular', 503, unsupported],
    ['bigint', 503, unsupported],
    ['deep', 503, unsupported],
    ['toJSON', 503, unsupported],
    ['arrayLike', 503, 'Invalid model predict output'],
    ['reject', 503, 'Prediction failed'],
    ['nothing', 503, 'Prediction failed'],
    ['hostile', 503, 'Prediction failed'],
    ['huge', 418, `${'m'.repeat(4096)}…`],
    ['code', 503, 'Prediction failed'],
    ['index', 503, 'Prediction failed'],
    ['native', 507, 'Out of resources'],
  ]
  for (const [name, code, message] of expected) {
    const reply = await client.predict([wireRequest([['case', name, 'text/plain']])])
    assert.deepEqual([reply.code, reply.message], [code, message], name)
    assert.deepEqual(
      reply.predictions.map(({ status, body }) => [status, String(body)]),
      [[code, 'error']],
      name,
    )
  }
  assert.match(worker.stderr, /Error: later/)
  assert.ok(worker.stderr.length < 200_000, 'a huge message is cut before it is printed')
})

test('a function is called once without data, then for each batch, and may be async', async (t) => {
  const { client, worker } = await modelOf(
    t,
    `export async function handle(data, context) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (data === undefined) return console.log('initialised', context.modelName, arguments.length)
      return data.map((input, index) => [index, input.a ?? null])
    }`,
  )
  assert.match(worker.stdout, /^initialised m 2$/m)
  const batch = ['x', 'y'].map((text) => wireRequest([['a', text, 'text/plain']], [], text))
  assert.deepEqual(bodies(await client.predict(batch)), [
    [0, 'x'],
    [1, 'y'],
  ])
  assert.equal(worker.stdout.match(/initialised/g)?.length, 1)
})

test('a class is made once, initialised, and handles with its own state', async (t) => {
  const service = `export default class Service {
    #runs = 0
    async initialize(context) { this.folder = context.systemProperties.modelDir }
    handle(data, context) { this.#runs += 1; return data.map(() => [this.#runs, this.folder]) }
  }`
  const { client, modelPath } = await workerWith(t, {
    'service.mjs': service,
    'common.cjs': 'module.exports = { Only: class { handle(data) { return data.map(() => 1) } } }',
    'dynamic.cjs':
      'const name = "handle"; module.exports[name] = (data) => data && data.map(() => 2)',
    'whole.cjs': 'module.exports = class { handle(data) { return data.map(() => 3) } }',
    'module.js': 'export const run = (data) => data?.map(() => 4)',
    'sub/inner.mjs': 'export const handle = (data) => data?.map(() => 5)',
  })
  await client.load({ modelPath, handler: 'service.mjs:handle' })
  for (const run of [1, 2]) {
    assert.deepEqual(bodies(await client.predict([wireRequest([])])), [[run, modelPath]])
  }
  const good: [handler: string, answer: number][] = [
    ['common.cjs', 1],
    ['dynamic.cjs:handle', 2],
    ['whole', 3],
    ['module:run', 4],
    ['sub/inner.mjs', 5],
    ['./sub/../sub/inner:', 5],
  ]
  for (const [handler, answer] of good) {
    const { code, message } = await client.load({ modelPath, handler })
    assert.equal(code, 200, message)
    assert.deepEqual(bodies(await client.predict([wireRequest([])])), [answer], handler)
  }
})

test('code that has no entry point, or fails to start, is a failed load with the reason', async (t) => {
  const { worker, modelPath } = await workerWith(t, {
    'two.mjs': 'export class A { handle() {} }; export class B { handle() {} }',
    'none.mjs': 'export const other = 1',
    'unfinished.mjs': 'export class A { initialize() {} }',
    'value.mjs': 'export const handle = 1',
    'failing.mjs': `export class A { initialize() { throw new Error('not ready') } handle() {} }`,
    'syntax.mjs': 'export const = 1',
    'service.py': 'pass',
  })
  const bad: [handler: string, code: number, message: RegExp][] = [
    ['two.mjs', 400, /exports 2 classes/],
    ['none.mjs', 400, /exports 0 classes/],
    ['unfinished.mjs', 400, /no method "handle"/],
    ['value.mjs', 400, /not a function/],
    ['failing.mjs', 500, /^not ready$/],
    ['syntax.mjs', 500, /Unexpected token/],
    ['service.py:handle', 400, /has no service\.py\.js/],
    ['absent', 400, /has no absent\.js or absent\.mjs or absent\.cjs/],
  ]
  for (const [handler, code, message] of bad) {
    const other = await worker.connect()
    const reply = await other.load({ modelPath, handler })
    assert.equal(reply.code, code, handler)
    assert.match(reply.message, message)
  }
})

test('code outside the model folder is never imported', async (t) => {
  const outside = temporaryFolder(t)
  const marker = path.join(outside, 'imported')
  const code = `import { writeFileSync } from 'node:fs'
    writeFileSync(${JSON.stringify(marker)}, '')
    export const handle = (data) => data?.map(() => 1)`
  writeFileSync(path.join(outside, 'evil.mjs'), code)
  const { worker, modelPath } = await workerWith(t, { 'service.mjs': '' })
  symlinkSync(path.join(outside, 'evil.mjs'), path.join(modelPath, 'link.mjs'))
  symlinkSync(outside, path.join(modelPath, 'folder'))
  mkdirSync(path.join(modelPath, 'directory.mjs'))
  const relative = path.relative(modelPath, path.join(outside, 'evil.mjs'))
  const handlers = [
    relative,
    path.join(outside, 'evil.mjs'),
    `file://${outside}/evil.mjs`,
    'data:text/javascript,export const handle = 1',
    'link.mjs',
    'folder/evil.mjs',
    'directory.mjs',
    'node:child_process',
    '..',
    '\0',
  ]
  for (const handler of handlers) {
    const client = await worker.connect()
    const reply = await client.load({ modelPath, handler })
    assert.equal(reply.code, 400, `${handler}: ${reply.message}`)
  }
  assert.ok(!existsSync(marker))
})

test('a model with code is refused, unread, where handlers are not allowed', async (t) => {
  const { worker, modelPath } = await workerWith(
    t,
    { 'service.mjs': `console.log('imported'); export const handle = () => {}` },
    { ONNXD_WORKER_OPTIONS: '{"allowHandlers":false}' },
  )
  writeFileSync(path.join(modelPath, 'model.json'), '{"handler":"service.mjs:handle"}')
  for (const handler of ['service.mjs:handle', '']) {
    const client = await worker.connect()
    const reply = await client.load({ modelPath, handler })
    assert.equal(reply.code, 403)
    assert.deepEqual(await client.end(), [])
  }
  assert.doesNotMatch(worker.stdout, /imported/)
})

test('the handler of model.json is used when the load request names none', async (t) => {
  const { client, modelPath } = await workerWith(t, {
    'model.json': '{"handler":"own.mjs:run"}',
    'own.mjs': 'export const run = (data) => data?.map(() => 1)',
  })
  assert.equal((await client.load({ modelPath, handler: '' })).code, 200)
  assert.deepEqual(bodies(await client.predict([wireRequest([])])), [1])
})

const SHOW_DATA = `const show = (value) => Buffer.isBuffer(value) ? ['bytes', value.toString('latin1')] : [typeof value, value]
  export const handle = (data) => data?.map((input) => Object.entries(input).map(([k, v]) => [k, ...show(v)]))`

test('values reach the handler decoded by their content type, exactly as in MMS', async (t) => {
  const { client } = await modelOf(t, SHOW_DATA)
  const reply = await client.predict([
    wireRequest([
      ['json', '{"a":[1.5,"é"]}', 'application/json'],
      ['scalar', ' 7 ', 'application/json'],
      ['capitals', '{}', 'Application/JSON'],
      ['charset', '{}', 'application/json; charset=utf-8'],
      ['csv', 'é,1', 'text/csv'],
      ['prefix', 'x', 'textual'],
      ['Text', 'x', 'Text/plain'],
      ['none', 'x'],
      ['twice', 'first'],
      ['twice', 'last', 'text/plain'],
      ['__proto__', 'p', 'text/plain'],
      ['constructor', '{"__proto__":{"polluted":1}}', 'application/json'],
      ['', '', 'text/plain'],
    ]),
  ])
  assert.deepEqual(bodies(reply), [
    [
      ['json', 'object', { a: [1.5, 'é'] }],
      ['scalar', 'number', 7],
      ['capitals', 'bytes', '{}'],
      ['charset', 'bytes', '{}'],
      ['csv', 'string', 'é,1'],
      ['prefix', 'string', 'x'],
      ['Text', 'bytes', 'x'],
      ['none', 'bytes', 'x'],
      ['twice', 'string', 'last'],
      ['__proto__', 'string', 'p'],
      ['constructor', 'object', JSON.parse('{"__proto__":{"polluted":1}}')],
      ['', 'string', ''],
    ],
  ])
})

test('decoding is off for anything but an unset variable or exactly "true"', async (t) => {
  for (const [setting, kind] of [
    ['true', 'object'],
    ['false', 'bytes'],
    ['True', 'bytes'],
  ] as const) {
    const { client } = await modelOf(t, SHOW_DATA, { MMS_DECODE_INPUT_REQUEST: setting })
    const [entries] = bodies(await client.predict([wireRequest([['a', '[]', 'application/json']])]))
    assert.deepEqual(entries, [['a', kind, kind === 'object' ? [] : '[]']])
  }
})

test('a value that cannot be decoded costs its own request, not its neighbours', async (t) => {
  const { client, worker } = await modelOf(
    t,
    `export function handle(data, context) {
      if (!data) return
      console.log('batch of', data.length, context.requestProcessor.length)
      return data.map((input, index) => [context.getRequestId(index), input.n])
    }`,
    { ONNXD_WORKER_OPTIONS: '{"maxJsonDepth":3,"maxJsonBytes":40}' },
  )
  const json = (n: string | Buffer, id: string) =>
    wireRequest([['n', n, 'application/json']], [], id)
  const reply = await client.predict([
    json('1', 'good1'),
    json('{"a":', 'cut'),
    json('', 'empty'),
    json('\ufeff1', 'mark'),
    json(Buffer.of(0x22, 0xff, 0x22), 'utf8'),
    json('["[[[[", "\\"[[[["]', 'good2'),
    json('[[[[1]]]]', 'deep'),
    json(`"${'x'.repeat(40)}"`, 'large'),
    wireRequest([['n', Buffer.of(0xff), 'text/plain']], [], 'text'),
    json('[[[1]]]', 'good3'),
  ])
  assert.equal(reply.code, 200)
  assert.deepEqual(
    reply.predictions.map(({ id, status }) => [id, status]),
    [
      ['good1', 200],
      ['cut', 400],
      ['empty', 400],
      ['mark', 400],
      ['utf8', 400],
      ['good2', 200],
      ['deep', 400],
      ['large', 413],
      ['text', 400],
      ['good3', 200],
    ],
  )
  assert.match(worker.stdout, /^batch of 3 3$/m)
  const [good1, cut] = reply.predictions
  assert.deepEqual(JSON.parse(String(good1?.body)), ['good1', 1])
  assert.equal(cut?.contentType, 'application/json')
  const { code, type } = JSON.parse(String(cut?.body))
  assert.deepEqual([code, type], [400, 'InvalidInputException'])
  // Nobody is left to run: the handler is not asked.
  const lone = await client.predict([json('{', 'alone')])
  assert.equal(lone.predictions[0]?.status, 400)
  assert.equal(worker.stdout.match(/batch of/g)?.length, 1)
})

test('the context has the members of MMS, under names in camelCase; headers in any case', async (t) => {
  const { worker, client, modelPath } = await workerWith(t, {
    'MAR-INF/MANIFEST.json': '{"model":{"modelName":"m"},"userData":{"any":"thing"}}',
    'service.mjs': `export function handle(data, context) {
      if (!data) return
      const { modelName, manifest, systemProperties, requestIds } = context
      return data.map((_, i) => ({
        modelName, manifest, systemProperties, requestIds,
        id: context.getRequestId(i),
        accept: context.getRequestHeader(i, 'Accept'),
        lower: context.getRequestHeader(i, 'accept') ?? null,
        absent: context.getRequestHeader(i, 'x-absent') ?? null,
        inherited: context.getRequestHeader(i, 'toString') ?? null,
        all: Object.entries(context.getAllRequestHeader(i)),
        processors: context.requestProcessor.length,
      }))
    }`,
  })
  await client.load({ modelPath, batchSize: 4, gpu: 2 })
  const headers: WireHeader[] = [
    ['Accept', 'a'],
    ['Accept', 'b'],
    ['x', 'wins'],
    ['__proto__', 'h'],
  ]
  const reply = await client.predict([
    wireRequest(
      [
        ['x', '1', 'text/plain'],
        ['body', '2', 'image/png'],
      ],
      headers,
      'one',
    ),
    wireRequest([['x', '1', 'text/plain']], [], 'two'),
  ])
  const [one, two] = bodies(reply) as [Record<string, unknown>, Record<string, unknown>]
  assert.deepEqual(one, {
    modelName: 'm',
    manifest: { model: { modelName: 'm' }, userData: { any: 'thing' } },
    systemProperties: {
      modelDir: modelPath,
      gpuId: 2,
      batchSize: 4,
      serverName: 'MMS',
      serverVersion: JSON.parse(readFileSync('package.json', 'utf8')).version,
    },
    requestIds: { 0: 'one', 1: 'two' },
    id: 'one',
    accept: 'b',
    lower: 'b',
    absent: null,
    inherited: null,
    all: [
      ['x', 'wins'],
      ['body', { 'content-type': 'image/png' }],
      ['Accept', 'b'],
      ['__proto__', 'h'],
    ],
    processors: 2,
  })
  assert.deepEqual([two['id'], two['all']], ['two', [['x', { 'content-type': 'text/plain' }]]])
  await worker.printed('[METRICS]PredictionTime')
})

test('status, phrase, headers and content type are set for each request alone', async (t) => {
  const { client } = await modelOf(
    t,
    `export function handle(data, context) {
      if (!data) return
      context.setAllResponseStatus(202, 'Taken')
      context.setResponseStatus(404, 'Nö', 1)
      context.setResponseContentType(1, 'text/plain; é')
      context.setResponseHeader(0, 'X', 'first')
      context.setResponseHeader(0, 'X', { toString: () => 'second' })
      context.requestProcessor[2].reportStatus(null, null)
      context.requestProcessor[2].addResponseProperty('Y', undefined)
      return data.map(() => '')
    }`,
  )
  const reply = await client.predict(['a', 'b', 'c'].map((id) => wireRequest([], [], id)))
  const body = Buffer.alloc(0)
  assert.deepEqual(reply, {
    code: 200,
    message: 'Prediction success',
    predictions: [
      { id: 'a', contentType: '', status: 202, reason: 'Taken', headers: [['X', 'second']], body },
      {
        id: 'b',
        contentType: 'text/plain; é',
        status: 404,
        reason: 'Nö',
        headers: [['content-type', 'text/plain; é']],
        body,
      },
      { id: 'c', contentType: '', status: 200, reason: '', headers: [['Y', 'undefined']], body },
    ],
  })
})

test('a status or header that no response can have is 500 for its request, with the reason', async (t) => {
  const { client, worker } = await modelOf(
    t,
    `const cases = {
        none: () => {},
        large: (p) => p.reportStatus(1000),
        small: (p) => p.reportStatus(99),
        nan: (p) => p.reportStatus(NaN),
        half: (p) => p.reportStatus(200.5),
        text: (p) => p.reportStatus('200'),
        hostile: (p) => p.reportStatus({ toString: null }),
        repaired: (p) => { p.reportStatus(-1); p.reportStatus(201) },
        list: (p) => p.addResponseProperty('set-cookie', ['a=1', 'b=2']),
        typed: (p) => p.addResponseProperty('content-type', ['text/html']),
        empty: (p) => p.addResponseProperty('x', Object.create(null)),
        unnamed: (p) => p.addResponseProperty({ toString: null }, 'x'),
      }
      export const handle = (data, context) => data?.map((item, index) => {
        cases[item.case](context.requestProcessor[index])
        return 'ok'
      })`,
  )
  const range = 'A status is a whole number from 200 to 599.'
  const status = (shown: string): string =>
    `The handler set an invalid response status: ${shown}. ${range}`
  const list = 'to a list. A header has one value, which is text.'
  const noText = 'to a value that has no text. The name and the value of a header are text.'
  const expected: [name: string, message: string | undefined][] = [
    ['none', undefined],
    ['large', status('1000')],
    ['small', status('99')],
    ['nan', status('NaN')],
    ['half', status('200.5')],
    ['text', status('"200"')],
    ['hostile', status('a value without a text')],
    ['repaired', status('-1')],
    ['list', `The handler set the response header "set-cookie" ${list}`],
    ['typed', `The handler set the response header "content-type" ${list}`],
    ['empty', `The handler set the response header "x" ${noText}`],
    ['unnamed', `The handler set the response header a value without a text ${noText}`],
    ['none', undefined],
  ]
  const reply = await client.predict(
    expected.map(([name], index) => wireRequest([['case', name, 'text/plain']], [], `${index}`)),
  )
  assert.deepEqual([reply.code, reply.message], [200, 'Prediction success'])
  for (const [index, { id, status: code, body }] of reply.predictions.entries()) {
    const message = expected[index]?.[1]
    assert.deepEqual([id, code], [`${index}`, message === undefined ? 200 : 500])
    if (message === undefined) assert.equal(String(body), 'ok')
    else {
      const type = 'InternalServerException'
      assert.deepEqual(JSON.parse(String(body)), { code: 500, type, message })
    }
  }
  assert.match(
    worker.stderr,
    /Invalid response: TypeError: The handler set .* 1000\..*\n\s+at .*service/s,
  )
})

test('work that outlives its batch cannot change the next response', async (t) => {
  const { client } = await modelOf(
    t,
    `let late
      export async function handle(data, context) {
        if (!data) return
        late?.setResponseHeader(0, 'Late', 'yes')
        late = context
        return data.map(() => 'ok')
      }`,
  )
  for (const id of ['a', 'b']) {
    const reply = await client.predict([wireRequest([], [], id)])
    assert.deepEqual(reply.predictions[0]?.headers, [], id)
  }
})

test('metrics are printed as lines, after load and after each batch', async (t) => {
  const { client, worker } = await modelOf(
    t,
    `export function handle(data, context) {
      const { metrics } = context
      if (!data) return metrics.addSize('ModelSize', 3)
      metrics.addCounter('Seen', 2, 0)
      metrics.addCounter('Seen', 3, 0)
      metrics.addTime('Step', 1.5, null, 's', { Stage: 'a\\n[PID] 1' })
      metrics.addPercent('Load', 50, 1)
      metrics.addError('Oops', 'bad')
      if (data[0].fail) throw new Error('x')
      return data.map(() => '')
    }`,
  )
  const lines = (): string[] =>
    worker.stdout
      .split('\n')
      .filter((line) => line.startsWith('[METRICS]'))
      .map((line) => line.replace(/,\d{10}(?=,|$)/, ',TIME'))
  const tail = `|#hostname:${hostname()},TIME`
  await until('the first line', () => lines().length === 1)
  assert.deepEqual(lines(), [`[METRICS]ModelSize.Megabytes:3|#ModelName:m,Level:Model${tail}`])
  await client.predict(['one', 'two'].map((id) => wireRequest([], [], id)))
  const mine = '|#ModelName:m,Level:Model'
  await until('all lines', () => lines().length === 6)
  const [time, ...others] = lines().slice(1).toReversed()
  assert.deepEqual(others.toReversed(), [
    `[METRICS]Seen.Count:5${mine}${tail},one`,
    `[METRICS]Step.Seconds:1.5|#Stage:a [PID] 1,ModelName:m,Level:Model${tail},one,two`,
    `[METRICS]Load.Percent:50${mine}${tail},two`,
    `[METRICS]Oops.unit:bad|#Level:Error${tail},one,two`,
  ])
  assert.match(time ?? '', /^\[METRICS\]PredictionTime\.Milliseconds:\d+(\.\d\d?)?\|#ModelName:m,/)
  await client.predict([wireRequest([['fail', 'yes']], [], 'three')])
  await until('lines of the failed batch', () => lines().length === 10)
  assert.doesNotMatch(lines().slice(6).join('\n'), /PredictionTime/)
})

test('a request that asks for a description is answered apart from its batch', async (t) => {
  const handle = 'export const handle = (data) => data?.map(() => data.length)'
  const { client, modelPath } = await workerWith(t, {
    'plain.mjs': handle,
    'function.mjs': `${handle}\nexport const describe = async (context) => ({ of: context.modelName })`,
    'class.mjs': `export class A {
      name = 'me'
      handle(data) { return data.map(() => data.length) }
      describeHandle() { return { of: this.name } }
    }`,
    'broken.mjs': `${handle}\nexport const describe = () => { throw new Error('no') }`,
  })
  const runtime = `Node ${process.versions.node}`
  const expected: [handler: string, status: number, body: unknown][] = [
    ['plain.mjs:handle', 200, { modelName: 'm', handler: 'plain.mjs:handle', runtime }],
    ['function.mjs', 200, { of: 'm' }],
    ['class.mjs', 200, { of: 'me' }],
    [
      'broken.mjs',
      500,
      { code: 500, type: 'InternalServerException', message: 'The model cannot describe itself.' },
    ],
  ]
  for (const [handler, status, body] of expected) {
    await client.load({ modelPath, handler })
    const { predictions } = await client.predict([
      wireRequest([], [['describe', 'False']], 'a'),
      wireRequest([], [['describe', 'True']], 'b'),
      wireRequest([], [], 'c'),
    ])
    assert.deepEqual(predictions.map(({ id }) => id).join(''), 'abc')
    assert.deepEqual(
      [predictions[1]?.status, JSON.parse(String(predictions[1]?.body))],
      [status, body],
    )
    assert.deepEqual([String(predictions[0]?.body), String(predictions[2]?.body)], ['2', '2'])
  }
})

/** Values as a handler gets them, with their types. */
const SHOW = `const show = (v) => Buffer.isBuffer(v) ? { type: 'bytes', hex: v.toString('hex') }
    : typeof v === 'string' ? { type: 'text', text: v } : { type: 'json', json: v }
  export const handle = (data) => data?.map((input) =>
    Object.fromEntries(Object.entries(input).map(([name, value]) => [name, show(value)])))`

test('values reach a handler decoded by their content type', async (t) => {
  const { client } = await modelOf(t, SHOW)
  const reply = await client.predict([
    wireRequest([['body', '{"a":[1,2.5,null,"ü"]}', 'application/json']]),
    wireRequest([['body', '1,2\n3,4\n', 'text/csv']]),
    wireRequest([
      ['a', '1'],
      ['b', 'x y'],
      ['a', '2'],
      ['empty', ''],
    ]),
    wireRequest([['body', Buffer.of(0, 1, 255), 'application/octet-stream']]),
  ])
  assert.deepEqual(bodies(reply), [
    { body: { type: 'json', json: { a: [1, 2.5, null, 'ü'] } } },
    { body: { type: 'text', text: '1,2\n3,4\n' } },
    {
      a: { type: 'bytes', hex: '32' },
      b: { type: 'bytes', hex: '782079' },
      empty: { type: 'bytes', hex: '' },
    },
    { body: { type: 'bytes', hex: '0001ff' } },
  ])
})

testShared('so do those of the shared vectors, as MMS decodes them', {}, async (t) => {
  const { client } = await modelOf(t, SHOW)
  const names = ['json', 'text-csv', 'form-duplicate-names', 'multipart', 'batch8', 'binary']
  for (const name of names) {
    const file = sharedPath('vectors/mms', `predict-${name}.json`)
    const vector = JSON.parse(readFileSync(file, 'utf8'))
    client.send(Buffer.from(vector.hex, 'hex'))
    const reply = await client.reply()
    const expected = vector.decoded.requests.map(
      ({ parameters }: { parameters: { name: string; value: unknown }[] }) =>
        Object.fromEntries(parameters.map((parameter) => [parameter.name, parameter.value])),
    )
    assert.deepEqual(bodies(reply), expected, name)
  }
})
