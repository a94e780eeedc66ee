/** Copies of requests for a shadow version, without workers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ShadowReference } from '../../../src/contract/shadow-copy.ts'
import { requestDigest } from '../../../src/contract/shadow-copy.ts'
import { RequestTiming } from '../../../src/models/scheduling/request-timing.ts'
import type { ObservedPrediction } from '../../../src/models/shadow/observed-prediction.ts'
import { ShadowRuns } from '../../../src/models/shadow/shadow-runs.ts'
import type { Shadow } from '../../../src/models/shadow/shadow-settings.ts'
import { ByteBudget } from '../../../src/routes/http/byte-budget.ts'
import { WorkerDiedError } from '../../../src/worker/host/outcomes.ts'
import type { WireRequest, WorkerReply } from '../../../src/worker/wire/messages.ts'
import { until } from '../../helpers/until.ts'

const MIB = 1024 * 1024

function prediction(body: string | Buffer = '[1]', requestId = 'id'): ObservedPrediction {
  return {
    model: { name: 'm', version: '1' },
    headers: [['accept', '*/*']],
    parameters: [{ name: 'body', contentType: 'application/json', value: Buffer.from(body) }],
    options: { requestId },
    response: {
      id: 'x',
      status: 200,
      reason: '',
      contentType: 'application/json',
      headers: [['x-long', 'y'.repeat(5000)]],
      body: Buffer.from('{"y":1.5}'),
    },
    accepted: { timing: new RequestTiming(), job: { stream: undefined } },
  }
}

/** A version whose workers do what the test says. */
class FakeVersion {
  readonly requests: WireRequest[] = []
  prepared = { hasCode: false, runtime: 'node' }
  readonly status = {
    queued: 0,
    readyWorkers: 1,
    workers: [this.#worker()],
  }
  reply: (request: WireRequest) => Promise<WorkerReply> = () => Promise.resolve(resultReply())

  addWorker(): void {
    this.status.workers.push(this.#worker())
    this.status.readyWorkers += 1
  }

  #worker(): {
    worker: { isReady: boolean; inFlight: number }
    runUnasked: (request: WireRequest) => Promise<WorkerReply>
  } {
    const worker = { isReady: true, inFlight: 0 }
    const runUnasked = async (request: WireRequest): Promise<WorkerReply> => {
      this.requests.push(request)
      worker.inFlight += 1
      try {
        return await this.reply(request)
      } finally {
        worker.inFlight -= 1
      }
    }
    return { worker, runUnasked }
  }
}

function reply(body: unknown, status = 200): WorkerReply {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const rest = { contentType: 'application/json', reason: '', headers: [] }
  return {
    code: 200,
    message: '',
    predictions: [{ id: 'x', status, ...rest, body: Buffer.from(text) }],
  }
}

function resultReply(difference = 0, agrees = true): WorkerReply {
  const output = { name: 'y', kind: 'numbers', agrees, difference, measures: {} }
  const reason = agrees ? {} : { reason: 'y: it differs' }
  const comparison = { agrees, kind: 'values', outputs: [output], ...reason }
  return reply({ comparison, ms: 2, sha256: 'abc' })
}

function runsFor(settings: Partial<Shadow> = {}, memoryMib = 1024): ShadowRuns {
  return new ShadowRuns({ version: '2', ...settings }, { memory: new ByteBudget(memoryMib * MIB) })
}

const ended = (runs: ShadowRuns): Promise<void> =>
  until('the copy ended', () => runs.counts.running === 0)

test('a copy has its own memory, the response to compare with, and the id of the request', async () => {
  const version = new FakeVersion()
  const runs = runsFor({ tolerance: { relative: 0.1 } })
  const given = prediction('[1,2]', 'the id')
  let answer: (reply: WorkerReply) => void = () => {}
  version.reply = () => new Promise((resolve) => (answer = resolve))
  runs.offer(given, version)
  assert.equal(runs.report().running, 1)
  // The next body is written to this memory.
  given.parameters[0]?.value.fill(0)
  given.response.body.fill(0)
  const [request] = version.requests
  assert.equal(request?.parameters[0]?.value.toString(), '[1,2]')
  assert.equal(request.parameters.at(-1)?.value.toString(), '{"y":1.5}')
  const [name, value = ''] = request.headers.at(-1) ?? []
  assert.equal(name, 'Onnxd-Compare')
  const reference: ShadowReference = {
    status: 200,
    contentType: 'application/json',
    headers: [],
    tolerance: { relative: 0.1 },
  }
  assert.deepEqual(JSON.parse(value), reference)
  answer(resultReply(0.25, false))
  await ended(runs)
  const { copied, compared, agreed, agreement, outputs, worst } = runs.report()
  assert.deepEqual(
    { copied, compared, agreed, agreement },
    {
      copied: 1,
      compared: 1,
      agreed: 0,
      agreement: 0,
    },
  )
  assert.equal(outputs[0]?.largest, 0.25)
  assert.deepEqual(
    outputs[0].differences.filter(({ count }) => count > 0),
    [{ upTo: 1, count: 1 }],
  )
  const [{ time, ...first } = { time: '' }] = worst
  assert.ok(Date.parse(time) > 0)
  assert.deepEqual(first, {
    requestId: 'the id',
    version: '1',
    sha256: 'abc',
    agrees: false,
    difference: 0.25,
    reason: 'y: it differs',
  })
})

test('only an idle worker gets a copy, and with several workers one stays idle', async () => {
  const version = new FakeVersion()
  const runs = runsFor()
  let answer: (reply: WorkerReply) => void = () => {}
  version.reply = () => new Promise((resolve) => (answer = resolve))
  runs.offer(prediction(), version)
  runs.offer(prediction(), version)
  assert.equal(version.requests.length, 1)
  version.addWorker()
  runs.offer(prediction(), version)
  assert.equal(version.requests.length, 1, 'the second worker is left for clients')
  answer(resultReply())
  await ended(runs)
  runs.offer(prediction(), version)
  assert.equal(version.requests.length, 2)
  answer(resultReply())
  await ended(runs)
  version.status.queued = 1
  runs.offer(prediction(), version)
  version.status.queued = 0
  version.status.readyWorkers = 0
  runs.offer(prediction(), version)
  runs.offer(prediction(), undefined)
  assert.equal(version.requests.length, 2)
  const { skipped, copied, chosen } = runs.report()
  assert.deepEqual(skipped, {
    busy: 3,
    not_ready: 2,
    memory: 0,
    too_large: 0,
    unsupported: 0,
    crashing: 0,
  })
  assert.deepEqual([copied, chosen], [2, 7])
})

test('copies have little memory, and give it back', async () => {
  const version = new FakeVersion()
  // An eighth of it is for copies.
  const runs = runsFor({}, 16)
  runs.offer(prediction(Buffer.alloc(17 * MIB)), version)
  runs.offer(prediction(Buffer.alloc(3 * MIB)), version)
  for (let count = 0; count < 5; count += 1) {
    runs.offer(prediction(Buffer.alloc(1.5 * MIB)), version)
    await ended(runs)
  }
  version.reply = () => Promise.reject(new Error('the worker is gone'))
  for (let count = 0; count < 5; count += 1) {
    runs.offer(prediction(Buffer.alloc(1.5 * MIB)), version)
    await ended(runs)
  }
  const { skipped, compared, failed } = runs.report()
  assert.deepEqual([skipped.too_large, skipped.memory, compared, failed], [1, 1, 5, 5])
})

test('a failure of the worker is a copy that does not agree, whatever it responds', async () => {
  const version = new FakeVersion()
  const runs = runsFor({ keepInputs: true })
  for (const [outcome, reason] of [
    [Promise.reject(new Error('Worker died: it exited with code 3.')), /exited with code 3/],
    [Promise.resolve(reply('no JSON')), /JSON/],
    [Promise.resolve(reply('null')), /did not respond with a comparison/],
    [Promise.resolve(reply({ comparison: { agrees: 1 } })), /did not respond with a comparison/],
    [Promise.resolve({ ...reply('{}'), code: 507, message: 'no memory' }), /no memory/],
    [Promise.resolve(reply('x'.repeat(2 * MIB))), /too long/],
  ] as const) {
    version.reply = () => outcome
    runs.offer(prediction('[7]'), version)
    await ended(runs)
    const { worst } = runs.report()
    const [found] = worst.filter((one) => reason.test(one.reason ?? ''))
    assert.equal(found?.sha256, requestDigest([{ name: 'body', value: Buffer.from('[7]') }]))
    assert.deepEqual(found.input, [
      { name: 'body', contentType: 'application/json', base64: 'Wzdd' },
    ])
  }
  const { failed, compared, agreement } = runs.report()
  assert.deepEqual([failed, compared, agreement], [6, 0, 0])
})

test('a request that ended two workers is not copied again, but others of its size are', async () => {
  const version = new FakeVersion()
  const runs = runsFor()
  version.reply = () => Promise.reject(new WorkerDiedError('exited with code 3', true))
  for (let count = 0; count < 4; count += 1) {
    runs.offer(prediction('[7]'), version)
    await ended(runs)
  }
  // A signal from outside is not the fault of the request.
  version.reply = () => Promise.reject(new WorkerDiedError('was killed by SIGKILL', true))
  for (let count = 0; count < 4; count += 1) {
    runs.offer(prediction('[8]'), version)
    await ended(runs)
  }
  const { skipped, failed } = runs.report()
  assert.deepEqual([skipped.crashing, failed], [2, 6])
})

test('the worst ten are kept: those that do not agree first, then by difference', async () => {
  const version = new FakeVersion()
  const runs = runsFor()
  for (let count = 0; count < 30; count += 1) {
    version.reply = () => Promise.resolve(resultReply(count / 100, count % 6 !== 0))
    runs.offer(prediction('[1]', `request ${count}`), version)
    await ended(runs)
  }
  const { worst, compared, agreed } = runs.report()
  assert.deepEqual([compared, agreed], [30, 25])
  assert.deepEqual(
    worst.map(({ requestId }) => Number(requestId.slice(8))),
    [24, 18, 12, 6, 0, 29, 28, 27, 26, 25],
  )
})

test('a worker in Python gets the plain request, and only equal bytes agree', async () => {
  const version = new FakeVersion()
  version.prepared = { hasCode: true, runtime: 'python3' }
  const runs = runsFor()
  version.reply = () => Promise.resolve(reply('{"y":1.5}'))
  runs.offer(prediction(), version)
  await ended(runs)
  assert.deepEqual(version.requests[0]?.headers, [['accept', '*/*']])
  assert.equal(version.requests[0].parameters.length, 1)
  version.reply = () => Promise.resolve(reply('{"y":1.51}'))
  runs.offer(prediction(), version)
  await ended(runs)
  version.reply = () => Promise.resolve(reply('{"y":1.5}', 500))
  runs.offer(prediction(), version)
  await ended(runs)
  // JSON that would end a worker of MMS, and a message of gRPC.
  runs.offer(prediction('{'), version)
  runs.offer({ ...prediction(), headers: [['Onnxd-Dialect', 'grpc']] }, version)
  // A response in chunks.
  const streamed = { timing: new RequestTiming(), job: { stream: {} } }
  runs.offer({ ...prediction(), accepted: streamed }, version)
  const { compared, agreed, identical, skipped, worst } = runs.report()
  assert.deepEqual([compared, agreed, identical, skipped.unsupported], [3, 1, 1, 3])
  assert.match(worst[0]?.reason ?? '', /the bytes differ/)
  assert.match(worst[1]?.reason ?? '', /the status is 500 instead of 200/)
})
