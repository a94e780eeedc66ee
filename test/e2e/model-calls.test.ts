/** Handlers that call other models of the server. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { needs } from '../helpers/needs.ts'
import { queuedRequests, workerPids } from '../helpers/observe.ts'
import { ownModels } from '../helpers/own-models.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

/** Calls the model that the body names, and returns what came back. */
const CALLER = `
import { writeSync } from 'node:fs'
const early = []
export async function handle(data, context) {
  if (data === undefined) {
    early.push(context.server.predict('echo', 'early').catch(({ code, message }) => ({ code, message })))
    return
  }
  return Promise.all(data.map(({ body }, index) => run(body, context, index)))
}
async function run({ verb, model, data, options = {} }, context, index) {
  const call = () => context.server.predict(model, data, { index, ...options })
  switch (verb) {
    case 'early': return early[0]
    case 'bytes': return context.server.predict(model, Buffer.alloc(data, 7), { index }).then((bytes) => bytes.length)
    case 'many': return Promise.all(Array.from({ length: data }, (_, i) => context.server.predict(model, String(i), { index })))
    case 'caught': return call().catch((error) => ({ code: error.code, message: error.message, known: error instanceof context.PredictionException }))
    case 'garbage': writeSync(3, 'nonsense'); return 'written'
    case 'later': setTimeout(() => call().catch((error) => console.error('later: ' + error.message)), 100); return 'told'
    case 'stream': return (async function* () { for (let i = 0; i < 3; i++) yield context.server.predict(model, i, { index }) })()
    default: return call()
  }
}
`
const ECHO = `
export async function handle(data, context) {
  if (data === undefined) return
  return Promise.all(data.map(async ({ body }, index) => {
    if (body === 'headers') return respond(context, index, context.getAllRequestHeader(index))
    if (body === 'fail') { context.setResponseStatus(418, '', index); return respond(context, index, { message: 'I am a teapot' }) }
    if (body === 'stream') return (async function* () { context.setResponseContentType(index, 'text/plain'); yield 'a'; yield 'b' })()
    if (body && typeof body === 'object' && !Buffer.isBuffer(body)) return respond(context, index, body)
    if (typeof body === 'number') return respond(context, index, body)
    if (typeof body === 'string') context.setResponseContentType(index, 'text/plain; charset=utf-8')
    return body
  }))
}
function respond(context, index, value) { context.setResponseContentType(index, 'application/json'); return value }
`

/** Cleans up after the last test of the file. */
const ofFile: Cleanup = { after: (run) => after(run as () => void) }

function handler(name: string, code: string, settings: object = {}): string {
  const folder = path.join(temporaryFolder(ofFile), name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'service.mjs'), code)
  const model = { handler: 'service.mjs:handle', workers: 1, ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(model))
  return folder
}

const MODELS = [
  handler('caller', CALLER),
  handler('second', CALLER, { batchSize: 2 }),
  handler('echo', ECHO, { workers: 2 }),
  handlerModel(ofFile, 'tool', { workers: 1 }),
  path.join(ownModels(), 'identity_fp32'),
]
const server = (): Promise<TestServer> =>
  sharedServer(MODELS, { allowHandlers: true, responseTimeout: 5, queueSize: 200 })

const ask = (it: TestServer, body: object, headers = {}, model = 'caller') =>
  it.fetch(`/predictions/${model}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  })

test('a handler gets what another model responds: JSON decoded, text as a string, else bytes', async () => {
  const it = await server()
  for (const data of [{ a: [1, null] }, 'grüße', ''])
    assert.deepEqual(
      await (await ask(it, { model: 'echo', data })).text(),
      typeof data === 'string' ? data : JSON.stringify(data, undefined, 2),
    )
  const bytes = await ask(it, { verb: 'bytes', model: 'echo', data: 3_000_000 })
  assert.equal(await json(bytes), 3_000_000)
  const many = await ask(it, { verb: 'many', model: 'echo', data: 90 })
  assert.deepEqual(
    await json(many),
    Array.from({ length: 90 }, (_, index) => String(index)),
  )
  const onnx = await ask(it, { model: 'identity_fp32', data: { INPUT0: [[1.5, 2]] } })
  assert.deepEqual([onnx.status, await json(onnx)], [200, { OUTPUT0: [[1.5, 2]] }])
  const tensor = { name: 'INPUT0', datatype: 'FP32', shape: [1, 2], data: [1.5, 2] }
  const v2 = { model: 'identity_fp32', data: { inputs: [tensor] }, options: { protocol: 'v2' } }
  const { outputs } = (await json(await ask(it, v2))) as { outputs: unknown }
  assert.deepEqual(outputs, [{ ...tensor, name: 'OUTPUT0' }])
  assert.equal(await (await ask(it, { model: 'echo', data: 'stream' })).text(), 'ab')
  const stream = await ask(it, { verb: 'stream', model: 'echo' })
  assert.equal(await stream.text(), '0\n1\n2\n')
})

test('errors of a call have the status and the text of the model', async () => {
  const it = await server()
  const caught = await ask(it, { verb: 'caught', model: 'echo', data: 'fail' })
  assert.deepEqual(await json(caught), { code: 418, message: 'I am a teapot', known: true })
  assert.equal((await ask(it, { model: 'echo', data: 'fail' })).status, 418)
  const missing = await ask(it, { model: 'nobody', data: 1 })
  assert.equal(missing.status, 404)
  assert.match(await missing.text(), /nobody/)
  const version = await ask(it, { model: 'echo', data: 1, options: { version: '9' } })
  assert.equal(version.status, 404)
  assert.equal((await ask(it, { model: 'echo', data: 1, options: { version: '1.0' } })).status, 200)
  const none = { verb: 'caught', model: 'identity_fp32', data: {}, options: { protocol: 'v2' } }
  const { code, message } = (await json(await ask(it, none))) as { code: number; message: string }
  assert.deepEqual([code, /inputs/.test(message)], [400, true], message)
  const unknown = { ...none, options: { protocol: 'grpc' } }
  assert.equal((await ask(it, { ...unknown, verb: '' })).status, 400)
  const wrong = await ask(it, { model: 'identity_fp32', data: { INPUT0: 'x' } })
  assert.equal(wrong.status, 400)
  assert.equal((await ask(it, { model: 'echo' })).status, 503, 'undefined has no JSON')
})

test('a model cannot call itself, also not through another, whatever its client sends', async () => {
  const it = await server()
  const pids = await workerPids(it, 'caller')
  const self = await ask(it, { model: 'caller', data: {} })
  assert.equal(self.status, 500)
  assert.match(await self.text(), /Models call one another in a circle: caller → caller\./)
  const inner = { model: 'second', data: { model: 'caller', data: { model: 'echo', data: 'x' } } }
  const around = await ask(it, inner, { 'onnxd-chain': '', 'x-chain': 'none' })
  assert.equal(around.status, 500)
  assert.match(await around.text(), /caller → second → caller\./)
  const chain = await ask(it, { model: 'second', data: { model: 'echo', data: 'through' } })
  assert.equal(await chain.text(), 'through')
  assert.deepEqual(await workerPids(it, 'caller'), pids)

  const back = await ask(it, { model: 'caller', data: { model: 'echo', data: 'x' } }, {}, 'second')
  assert.equal(back.status, 500, 'caller calls second, so second must not call caller')
  assert.match(await back.text(), /second → caller → second\./)
})

test(
  'a call has the id, the trace and the deadline of the request that it serves',
  { skip: oneProcess('one worker that is busy') },
  async (t) => {
    const it = await server()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const seen = (await json(
      await ask(
        it,
        {
          model: 'echo',
          data: 'headers',
          options: { headers: { 'X-Own': '1', 'Onnxd-Dialect': 'v2', 'onnxd-body-at': '0+4' } },
        },
        { traceparent, 'x-request-id': 'mine', authorization: 'secret', 'x-other': '2' },
      ),
    )) as Record<string, unknown>
    assert.equal(seen['traceparent'], traceparent)
    assert.equal(seen['x-request-id'], 'mine')
    assert.equal(seen['X-Own'], '1')
    for (const name of ['authorization', 'x-other', 'Onnxd-Dialect', 'onnxd-body-at', 'for'])
      assert.equal(seen[name], undefined, name)

    const gate = newGate(t)
    const blocked = it.fetch('/predictions/tool', { method: 'POST', body: `wait:${gate.path}` })
    await gate.holds(1)
    const body = { verb: 'caught', model: 'tool', data: 'pid' }
    const late = await ask(it, body, { 'onnxd-timeout-ms': '200' })
    const { code, message } = (await json(late)) as { code: number; message: string }
    assert.deepEqual([code, /No worker became available/.test(message)], [503, true], message)
    gate.open()
    assert.equal(await (await blocked).text(), 'waited')
  },
)

test('a call that serves no request is rejected', async () => {
  const it = await server()
  const reason = 'A handler can call other models only while it serves a request.'
  assert.deepEqual(await json(await ask(it, { verb: 'early' })), { code: 500, message: reason })
  assert.equal(await (await ask(it, { verb: 'later', model: 'echo', data: 'x' })).text(), 'told')
  await it.logged(({ line }) => line === `later: ${reason}`)
})

test(
  'calls of a worker that dies are dropped; its channel is its own',
  { skip: oneProcess('the queue of a model with one worker') },
  async (t) => {
    const it = await server()
    const gate = newGate(t)
    const blocked = it.fetch('/predictions/tool', { method: 'POST', body: `wait:${gate.path}` })
    await gate.holds(1)
    const call = ask(it, { model: 'tool', data: 'pid' })
    await until(async () => (await queuedRequests(it, 'tool')) === 1)
    const [pid] = await workerPids(it, 'caller')
    assert.ok(pid !== undefined)
    process.kill(pid, 'SIGKILL')
    assert.equal((await call).status, 500)
    await until(async () => (await queuedRequests(it, 'tool')) === 0)
    gate.open()
    assert.equal(await (await blocked).text(), 'waited')

    assert.equal(await (await ask(it, { verb: 'garbage' }, {}, 'second')).text(), 'written')
    const caught = { verb: 'caught', model: 'echo', data: 'x' }
    await until(async () => {
      const answer = (await json(await ask(it, caught, {}, 'second'))) as { code?: number }
      return answer.code === 503
    })
    assert.deepEqual(await json(await ask(it, caught, {}, 'second')), {
      code: 503,
      message: 'The server cannot be called any more.',
      known: true,
    })
    await until(async () => (await ask(it, { model: 'echo', data: 'x' })).status === 200)
  },
)

const network = process.getuid?.() === 0 ? ['--net'] : ['--user', '--map-current-user', '--net']

test(
  'workers without a network can call models',
  { skip: needs('unshare', ...network, '--', 'true') },
  async (t) => {
    const it = await serve(t, MODELS.slice(0, 3), { allowHandlers: true, egress: false })
    assert.equal(await (await ask(it, { model: 'echo', data: 'hi' })).text(), 'hi')
  },
)
