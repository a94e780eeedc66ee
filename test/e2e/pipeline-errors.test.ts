/** Pipelines whose steps fail, hang or die, and whose clients leave. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { status as grpcStatus } from '@grpc/grpc-js'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { queuedRequests, workerPids } from '../helpers/observe.ts'
import { ownModels } from '../helpers/own-models.ts'
import { writePipeline } from '../helpers/pipelines.ts'
import { json, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const FOLDER = temporaryFolder(ofFile)

/** Does what `x` says and returns it as `y`. It describes no tensors, so it takes JSON only. */
const TOOL = `
import { appendFileSync, existsSync } from 'node:fs'
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
export async function handle(data, context) {
  if (data === undefined) return
  return Promise.all(data.map(({ body }, index) => run(body.x, index, context)))
}
async function run(x, index, context) {
  const [verb, argument] = String(x).split(/:(.*)/s)
  if (verb === 'exit') process.exit(3)
  if (verb === 'hang') await new Promise(() => {})
  if (verb === 'fail') { context.setResponseStatus(418, '', index); return { message: 'I am a teapot' } }
  if (verb === 'wait') { appendFileSync(argument + '.held', '.'); while (!existsSync(argument)) await sleep(5) }
  return { y: x }
}
`
/** Sends more than a call may have. */
const CALLER = `
export async function handle(data, { server }) {
  if (data === undefined) return
  return Promise.all(data.map(({ body }) => send(server, Number(body))))
}
const send = (server, bytes) =>
  server.predict('tool', Buffer.alloc(bytes)).catch(({ code, message }) => ({ code, message }))
`

function handler(name: string, code: string, settings: object): string {
  const folder = path.join(FOLDER, name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'service.mjs'), code)
  const model = { handler: 'service.mjs:handle', ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(model))
  return folder
}

const step = (model: string, from: string, to: string) => {
  return { model, inputs: { x: from }, outputs: { y: to } }
}
const SUM = { model: 'simple', inputs: { INPUT0: 'a', INPUT1: 'b' }, outputs: { OUTPUT0: 'sum' } }
const MODELS = [
  handler('tool', TOOL, { workers: 1, batchSize: 1 }),
  handler('caller', CALLER, {}),
  writePipeline(FOLDER, 'pipe', [step('tool', 'in', 'mid'), step('tool', 'mid', 'out')]),
  writePipeline(FOLDER, 'other', [step('tool', 'in', 'out')]),
  writePipeline(FOLDER, 'sum', [SUM]),
  writePipeline(FOLDER, 'lost', [{ ...SUM, model: 'nobody' }]),
  path.join(ownModels(), 'simple'),
  path.join(ownModels(), 'identity_int64'),
  writePipeline(FOLDER, 'mixed', [
    { model: 'identity_int64', inputs: { INPUT0: 'big' }, outputs: { OUTPUT0: 'same' } },
    step('tool', 'in', 'out'),
  ]),
]
const server = (): Promise<TestServer> =>
  sharedServer(MODELS, {
    allowHandlers: true,
    allowLocalPaths: true,
    grpcPort: 0,
    maxBodyBytes: 1_000_000,
    maxResponseBytes: 1_000_000,
  })

async function ask(
  it: TestServer,
  model: string,
  input: unknown,
  options: RequestInit = {},
): Promise<{ readonly status: number; readonly body: { message?: string; out?: unknown } }> {
  const answer = await it.fetch(`/predictions/${model}`, {
    method: 'POST',
    body: JSON.stringify({ in: input }),
    ...options,
    headers: { 'content-type': 'application/json', ...options.headers },
  })
  return { status: answer.status, body: (await json(answer)) as { message?: string } }
}

test('one request fails alone, also if its step dies', async () => {
  const it = await server()
  const pids = await workerPids(it, 'pipe')
  const all = await Promise.all(['a', 'fail', 'b', 'c'].map((input) => ask(it, 'pipe', input)))
  assert.deepEqual(
    all.map(({ status, body }) => [status, body.out ?? body.message]),
    [
      [200, 'a'],
      [418, 'Step 1 (model tool): I am a teapot'],
      [200, 'b'],
      [200, 'c'],
    ],
  )
  const dead = await ask(it, 'pipe', 'exit')
  assert.equal(dead.status, 500)
  assert.match(String(dead.body.message), /^Step 1 \(model tool\): /)
  const v2 = await it.fetch('/v2/models/pipe/infer', { method: 'POST', body: '{"inputs":[]}' })
  assert.deepEqual([v2.status, Object.keys((await json(v2)) as object)], [400, ['error']])
  await until(async () => (await ask(it, 'pipe', 'again')).status === 200)
  assert.deepEqual(await workerPids(it, 'pipe'), pids)
})

test('a step that hangs is 504 for its request, and the worker of the pipeline goes on', async () => {
  const it = await server()
  const folder = writePipeline(FOLDER, 'quick', [step('tool', 'in', 'out')])
  const url = encodeURIComponent(folder)
  const route = `/models?initial_workers=1&response_timeout=1&url=${url}`
  assert.equal((await it.manage(route, { method: 'POST' })).status, 200)
  const pids = await workerPids(it, 'quick')
  const late = await ask(it, 'quick', 'hang')
  assert.equal(late.status, 504)
  const text = 'Step 1 (model tool): No response within 1 s, the responseTimeout of the pipeline.'
  assert.equal(late.body.message, text)
  assert.deepEqual(await workerPids(it, 'quick'), pids)
  for (const hanging of await workerPids(it, 'tool')) process.kill(hanging, 'SIGKILL')
  await until(async () => (await ask(it, 'quick', 'again')).status === 200)
})

test(
  'a client that leaves takes the call of its step out of the queue',
  { skip: oneProcess('its queue') },
  async (t) => {
    const it = await server()
    const gate = newGate(t)
    const blocked = ask(it, 'pipe', `wait:${gate.path}`)
    await gate.holds(1)
    const leaving = new AbortController()
    const left = ask(it, 'other', 'x', { signal: leaving.signal }).catch(() => 'left')
    await until(async () => (await queuedRequests(it, 'tool')) === 1)
    leaving.abort()
    assert.equal(await left, 'left')
    await until(async () => (await queuedRequests(it, 'tool')) === 0)
    const late = await ask(it, 'other', 'x', { headers: { 'onnxd-timeout-ms': '200' } })
    assert.equal(late.status, 503)
    assert.match(String(late.body.message), /^Step 1 \(model tool\): No worker became available/)
    gate.open()
    assert.equal((await blocked).status, 200)
  },
)

test('errors have the codes of gRPC and the forms of each dialect', async (t) => {
  const it = await server()
  const client = new GrpcTestClient(t, it.grpcAddress)
  const input = (name: string, datatype: string, shape: number[]) => ({ name, datatype, shape })
  const inputs = ['a', 'b'].map((name) => input(name, 'INT32', [1, 16]))
  const raw = [Buffer.alloc(64), Buffer.alloc(64)]
  const right = { inputs, raw_input_contents: raw }
  await client.ask('ModelInfer', { model_name: 'sum', ...right })
  const cases: [model: string, fields: object, code: number, text: RegExp][] = [
    ['lost', right, grpcStatus.NOT_FOUND, /^Step 1 \(model nobody\): /],
    ['pipe', right, grpcStatus.INVALID_ARGUMENT, /takes only JSON.*Step 1 \(model tool\)/],
    ['sum', { ...right, inputs: [inputs[0]] }, grpcStatus.INVALID_ARGUMENT, /raw_input_contents/],
    [
      'sum',
      { inputs: [input('a', 'FP32', [1, 16])], raw_input_contents: [Buffer.alloc(64)] },
      grpcStatus.INVALID_ARGUMENT,
      /"a": expected INT32/,
    ],
  ]
  for (const [model, fields, code, text] of cases) {
    const error = await client.fail('ModelInfer', { model_name: model, ...fields })
    assert.deepEqual([error.code, text.test(error.details)], [code, true], error.details)
  }
  for (const route of ['/v1/models/lost:predict', '/v2/models/lost/infer']) {
    const answer = await it.fetch(route, { method: 'POST', body: '{}' })
    const body = (await json(answer)) as { error: string }
    assert.equal(answer.status, 404)
    assert.match(body.error, /^Step 1 \(model nobody\): /)
  }
})

test('a call that is too large fails, and the next one does not', async () => {
  const it = await server()
  for (const bytes of [3_000_000, 3_000_000]) {
    const answer = await it.fetch('/predictions/caller', { method: 'POST', body: String(bytes) })
    const { code, message } = (await json(answer)) as { code: number; message: string }
    assert.equal(code, 413, message)
    assert.match(message, /model tool has 3000000 bytes/)
  }
})

test('a pipeline with a custom handler takes JSON, and rounds no number', async () => {
  const it = await server()
  const big = '9223372036854775807'
  const send = async (route: string, body: string) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await it.fetch(route, { method: 'POST', body, headers })
    return { status: answer.status, text: (await answer.text()).replaceAll(/\s/g, '') }
  }
  assert.deepEqual(await send('/predictions/mixed', `{"in":"x","big":[[${big}]]}`), {
    status: 200,
    text: `{"same":[[${big}]],"out":"x"}`,
  })
  const missing = await send('/predictions/mixed', `{"big":[[${big}]]}`)
  assert.equal(missing.status, 400)
  assert.match(missing.text, /hasaninput\\?"in\\?"\.Itsinputsare:big,in\./)
  const v1 = await send('/v1/models/mixed:predict', '{"instances":[]}')
  assert.deepEqual([v1.status, /Step2\(modeltool\)/.test(v1.text)], [400, true], v1.text)
})
