/**
 * Priorities and deadlines that clients send: with headers in every REST dialect, with parameters
 * in the Open Inference Protocol.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Settings } from '../../src/config/config.ts'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import type { Gate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { queuedRequests } from '../helpers/observe.ts'
import { json, serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const PATHS = {
  original: '/predictions/tool',
  sagemaker: '/invocations',
  v1: '/v1/models/tool:predict',
  v2: '/v2/models/tool/infer',
} as const

interface Ask {
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

/** A server whose one worker is held by a request until the gate is opened. */
class HeldServer {
  readonly server: TestServer
  readonly gate: Gate
  readonly #held: Promise<Response>
  #asked = 0

  private constructor(server: TestServer, gate: Gate, held: Promise<Response>) {
    this.server = server
    this.gate = gate
    this.#held = held
  }

  static async start(t: TestContext, settings: Settings, model: object = {}): Promise<HeldServer> {
    const models = [handlerModel(t, 'tool', model)]
    const server = await serve(t, models, { allowHandlers: true, ...settings })
    const gate = newGate(t)
    const held = server.fetch(PATHS.original, {
      method: 'POST',
      body: `wait:${gate.path}`,
      headers: { 'content-type': 'text/plain' },
    })
    await gate.holds(1)
    return new HeldServer(server, gate, held)
  }

  send({ path = PATHS.original, headers = {}, body = '{"instances":[]}' }: Ask): Promise<Response> {
    return this.server.fetch(path, { method: 'POST', body, headers: { 'x-turn': '', ...headers } })
  }

  /** Sends a request and resolves when it waits for the worker. */
  async queue(ask: Ask): Promise<{ answer: Promise<Response> }> {
    const answer = this.send(ask)
    this.#asked += 1
    await until(async () => (await queuedRequests(this.server, 'tool')) === this.#asked)
    return { answer }
  }

  async release(): Promise<void> {
    this.gate.open()
    assert.equal((await this.#held).status, 200)
  }
}

/** The turns in which requests were served that came one after the other. */
async function turnsOf(held: HeldServer, asks: readonly Ask[]): Promise<number[]> {
  const answers: Promise<Response>[] = []
  for (const ask of asks) answers.push((await held.queue(ask)).answer)
  await held.release()
  return Promise.all(answers.map(async (answer) => Number((await answer).headers.get('x-turn'))))
}

const inferBody = (parameters: object): string =>
  JSON.stringify({
    parameters,
    inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }],
  })

/** A body as tritonclient writes it: the JSON, whose length a header says, and the tensors. */
function binaryAsk(parameters: object, tensor: string): Ask {
  const head = JSON.stringify({
    inputs: [
      { name: 'x', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: tensor.length } },
    ],
    parameters: { ...parameters, binary_data_output: true },
  })
  return {
    path: PATHS.v2,
    headers: { 'inference-header-content-length': String(head.length) },
    body: new TextEncoder().encode(head + tensor),
  }
}

test(
  'the header counts in every dialect, the parameter in the Open Inference Protocol',
  { skip: oneProcess('the order in its queue') },
  async (t) => {
    const held = await HeldServer.start(t, { priorityLevels: 3 })
    const turns = await turnsOf(held, [
      { headers: { 'onnxd-priority': '3' } },
      { path: PATHS.v2, body: inferBody({ priority: 3 }) },
      {},
      { path: PATHS.v2, body: inferBody({ priority: 0 }) },
      { path: PATHS.v1, headers: { 'onnxd-priority': '1' } },
      { path: PATHS.v2, body: inferBody({ priority: 1 }) },
      binaryAsk({ priority: 1 }, '"priority"'),
      { path: PATHS.v2, body: inferBody({ priority: 3 }), headers: { 'onnxd-priority': '1' } },
      { path: PATHS.sagemaker, headers: { 'onnxd-priority': '1' } },
    ])
    assert.deepEqual(turns, [8, 9, 6, 7, 1, 2, 3, 4, 5])
  },
)

test(
  'what is beyond the JSON, in a large one, or not of the protocol is not searched',
  { skip: oneProcess('the order in its queue') },
  async (t) => {
    const held = await HeldServer.start(t, { priorityLevels: 2, defaultPriorityLevel: 1 })
    const text = inferBody({ priority: 2 })
    const turns = await turnsOf(held, [
      { path: PATHS.v2, body: text },
      binaryAsk({}, text),
      { path: PATHS.v2, body: text + ' '.repeat(64 * 1024) },
      { path: PATHS.original, body: text, headers: { 'content-type': 'application/json' } },
      { path: PATHS.v2, body: '{"priority": 2, "inputs": []}' },
      { path: PATHS.v2, body: '"priority"' },
      { path: PATHS.v2, body: '{"priority' },
    ])
    assert.deepEqual(turns, [7, 1, 2, 3, 4, 5, 6])
  },
)

test(
  'a model says its levels itself, in model.json, and without levels nothing counts',
  { skip: oneProcess('the order in its queue') },
  async (t) => {
    const own = await HeldServer.start(t, {}, { priorityLevels: 2 })
    assert.deepEqual(await turnsOf(own, [{}, { headers: { 'onnxd-priority': '1' } }]), [2, 1])
    const { settings } = (await json(await own.server.manage('/models/tool'))) as {
      settings: Record<string, unknown>
    }
    assert.deepEqual(settings['priorityLevels'], { value: 2, from: 'model.json' })
    assert.deepEqual(settings['defaultPriorityLevel'], { value: 2, from: 'default' })

    const none = await HeldServer.start(t, {})
    const asks = [
      { headers: { 'onnxd-priority': '9' } },
      { path: PATHS.v2, body: inferBody({ priority: 1 }) },
      { headers: { 'onnxd-priority': '1' } },
    ]
    assert.deepEqual(await turnsOf(none, asks), [1, 2, 3])
  },
)

test('a priority or a time that cannot be is refused with 400 and a text that says what can', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    priorityLevels: 3,
  })
  const cases: [ask: Ask, text: RegExp][] = [
    [{ headers: { 'onnxd-priority': '4' } }, /from 1 \(served first\) to 3, .*not 4/],
    [{ headers: { 'onnxd-priority': 'high' } }, /Onnxd-Priority must be an integer, not "high"/],
    [{ headers: { 'onnxd-timeout-ms': '-1' } }, /Onnxd-Timeout-Ms must be an integer, not "-1"/],
    [{ path: PATHS.v2, body: inferBody({ priority: 17 }) }, /to 3, .*not 17/],
    [
      { path: PATHS.v2, body: inferBody({ priority: '1' }) },
      /parameter priority must be an integer/,
    ],
    [{ path: PATHS.v2, body: inferBody({ timeout: 0.5 }) }, /parameter timeout .*not 0\.5/],
    [binaryAsk({ timeout: -5 }, ''), /parameter timeout .*not -5/],
  ]
  for (const [{ path = PATHS.original, headers = {}, body = 'echo:x' }, text] of cases) {
    const answer = await server.fetch(path, { method: 'POST', body, headers })
    const { message, error } = (await json(answer)) as Record<string, string>
    assert.equal(answer.status, 400, message ?? error)
    assert.match(message ?? error ?? '', text)
  }
})

test(
  'a request that no worker takes in its own time is refused with 503, others wait on',
  { skip: oneProcess('the order in its queue') },
  async (t) => {
    const held = await HeldServer.start(t, {})
    const patient = await held.queue({})
    const asks: Ask[] = [
      { headers: { 'onnxd-timeout-ms': '20' } },
      { path: PATHS.v1, headers: { 'onnxd-timeout-ms': '20' } },
      { path: PATHS.v2, body: inferBody({ timeout: 20_000 }) },
      binaryAsk({ priority: 1, timeout: 20_000 }, 'x'),
      { path: PATHS.v2, body: inferBody({ timeout: 1e12 }), headers: { 'onnxd-timeout-ms': '20' } },
    ]
    for (const ask of asks) {
      const answer = await held.send(ask)
      assert.equal(answer.status, 503)
      assert.match(await answer.text(), /before the request's deadline/)
      assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/)
    }
    const unlimited = await held.queue({ headers: { 'onnxd-timeout-ms': '0' } })
    await held.release()
    assert.deepEqual([(await patient.answer).status, (await unlimited.answer).status], [200, 200])
  },
)
