/** Streamed replies as the front-end reads them, from worker processes that do what a test says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { FirstPart } from '../../../src/worker/host/batch-streams.ts'
import type { ResponseStream } from '../../../src/worker/host/response-stream.ts'
import type { WorkerSpec } from '../../../src/worker/host/worker-spec.ts'
import type { WorkerReply } from '../../../src/worker/wire/messages.ts'
import { loadedFake, request } from '../../helpers/fake-worker.ts'
import { until } from '../../helpers/until.ts'

/** Helpers for the code of a fake worker: `part(id, body, next)` and a reply of several parts. */
const PARTS = `
const part = (id, body, next) => ({ id, contentType: 'a/b', status: 200, reason: '',
  headers: next === undefined ? [] : [['ts_stream_next', next]], body: Buffer.from(body) })
const say = (socket, ...predictions) => socket.write(frame({ predictions }))
`

/** A stream and what its reader got. */
interface Read {
  readonly stream: ResponseStream | undefined
  readonly status: number
  readonly chunks: string[]
  end: string | undefined
}

const textOf = (answer: WorkerReply | Error): string =>
  answer instanceof Error ? answer.message : 'a reply'

/** Sends the requests of a batch; each response is read as soon as it begins. */
async function begin(
  t: TestContext,
  behaviour: string,
  ids: readonly string[],
  spec: Partial<WorkerSpec> = {},
) {
  const { worker } = await loadedFake(t, PARTS + behaviour, {
    streams: { canCancel: true },
    ...spec,
  })
  const reads = new Map<string, Read>()
  const onFirst = ({ index, reply, prediction, stream }: FirstPart): void => {
    const status = reply.code === 200 ? prediction.status : reply.code
    const read: Read = { stream, status, chunks: [], end: undefined }
    reads.set(ids[index] ?? '', read)
    if (stream === undefined) read.chunks.push(String(prediction.body))
    stream?.read({
      onChunk: (chunk) => read.chunks.push(String(chunk)),
      onEnd: (error) => (read.end = error === undefined ? 'complete' : error.message),
    })
  }
  const replied: Promise<WorkerReply | Error> = worker
    .predict(
      ids.map((id) => request(id)),
      onFirst,
    )
    .catch((error: unknown) => error as Error)
  // Readers are told the end a turn later.
  const answer = replied.then(async (reply) => {
    await turn()
    return reply
  })
  return { worker, reads, answer }
}

test('parts reach the stream of their request, and the batch lasts until each has its whole response', async (t) => {
  const { worker, reads, answer } = await begin(
    t,
    `onPredict = (socket, [a]) => {
      if (a.id === 'again') return socket.write(answers([a]))
      say(socket, part('a', '1', 'true'), part('c', 'whole'))
      say(socket, part('b', 'x', 'true'))
      say(socket, part('a', '2', 'false'))
      say(socket, part('b', 'y', 'true'))
      say(socket, part('b', '', 'false'))
    }`,
    ['a', 'b', 'c'],
  )
  assert.ok(!((await answer) instanceof Error))
  assert.deepEqual(reads.get('a')?.chunks, ['1', '2'])
  assert.deepEqual(reads.get('b')?.chunks, ['x', 'y', ''])
  assert.deepEqual(reads.get('c')?.chunks, ['whole'])
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => reads.get(id)?.end),
    ['complete', 'complete', undefined],
  )
  assert.equal(worker.inFlight, 0)
  assert.equal(worker.progress.maxInFlight, 1, 'nothing is sent ahead, to wait behind a stream')
  const [plain] = (await worker.predict([request('again', 'hi')])).predictions
  assert.equal(String(plain?.body), 'hi')
})

test('an error ends the responses that it names; without names, all that are open', async (t) => {
  const { reads, answer } = await begin(
    t,
    `onPredict = (socket) => {
      say(socket, part('a', '1', 'true'), part('b', '1', 'true'))
      socket.write(frame({ code: 503, message: 'no more', predictions: [part('a', 'error')] }))
      say(socket, part('b', '2', 'true'))
      socket.write(frame({ code: 507, message: 'full' }))
    }`,
    ['a', 'b', 'c'],
  )
  const reply = await answer
  assert.ok(!(reply instanceof Error))
  assert.equal(reply.code, 507, 'the request without a part has the error of the whole batch')
  assert.deepEqual([reads.get('a')?.chunks, reads.get('a')?.end], [['1'], 'no more'])
  assert.deepEqual([reads.get('b')?.chunks, reads.get('b')?.end], [['1', '2'], 'full'])
})

test('a worker that dies or breaks the protocol in a stream breaks the responses', async (t) => {
  for (const [next, reason] of [
    [`process.kill(process.pid, 'SIGKILL')`, /was killed by SIGKILL/],
    [`say(socket, part('x', '2', 'true'))`, /violated the worker protocol/],
    [`socket.write('nonsense'.repeat(9))`, /violated the worker protocol/],
  ] as const) {
    const { reads, answer } = await begin(
      t,
      `onPredict = (socket) => { say(socket, part('a', '1', 'true')); setTimeout(() => { ${next} }, 100) }`,
      ['a'],
    )
    assert.ok((await answer) instanceof Error)
    assert.deepEqual(reads.get('a')?.chunks, ['1'])
    assert.match(reads.get('a')?.end ?? '', reason)
  }
})

test('a prediction after the last one of its request breaks the protocol', async (t) => {
  const { answer } = await begin(
    t,
    `onPredict = (socket) => {
      say(socket, part('a', '1', 'true'), part('b', '1', 'true'))
      say(socket, part('a', '2', 'false'))
      say(socket, part('a', '3', 'true'))
    }`,
    ['a', 'b'],
  )
  assert.match(textOf(await answer), /violated the worker protocol/)
})

test('a reader that pauses stops the worker, and its time does not count', async (t) => {
  const { worker, reads } = await begin(
    t,
    `onPredict = async (socket) => {
      say(socket, part('a', 'first', 'true'))
      const chunk = 'x'.repeat(60000)
      for (let sent = 0; ; sent += 1) {
        if (!socket.write(frame({ predictions: [part('a', chunk, 'true')] })))
          await new Promise((resolve) => socket.once('drain', resolve))
        console.log('sent ' + sent)
      }
    }`,
    ['a'],
    { responseTimeoutMs: 300 },
  )
  await until('the stream has begun', () => reads.get('a') !== undefined)
  const read = reads.get('a')
  read?.stream?.pause()
  await delay(700)
  const count = read?.chunks.length ?? 0
  await delay(100)
  assert.equal(read?.chunks.length, count, 'nothing is read while the reader pauses')
  assert.equal(worker.state, 'ready', 'a slow client is not the fault of the worker')
  read?.stream?.resume()
  await until('chunks come again', () => (read?.chunks.length ?? 0) > count + 20)
})

test('chunks extend the deadline; a stream that nobody reads does not', async (t) => {
  const { worker, reads, answer } = await begin(
    t,
    `onPredict = (socket) => {
      let count = 0
      setInterval(() => say(socket, part('a', String(count++), 'true')), 50)
    }`,
    ['a'],
    { responseTimeoutMs: 400 },
  )
  await until('chunks come', () => (reads.get('a')?.chunks.length ?? 0) > 15)
  assert.equal(worker.state, 'ready')
  reads.get('a')?.stream?.cancel()
  const error = await answer
  assert.match(textOf(error), /did not respond within 0.4 s/)
  assert.equal(await reads.get('a')?.stream?.outcome, 'cancelled')
  assert.equal(reads.get('a')?.end, undefined, 'the reader has left')
})

test('a worker of MMS may use the header of TorchServe as it likes', async (t) => {
  const { worker } = await loadedFake(
    t,
    `${PARTS} onPredict = (socket, [a]) => say(socket, part(a.id, '1', 'true'))`,
  )
  const { predictions } = await worker.predict([request('a')], () => assert.fail('it is no stream'))
  assert.deepEqual(predictions[0]?.headers, [['ts_stream_next', 'true']])
})
