/**
 * The worker process with a built-in handler, as onnxd's front-end uses it: it leaves the event
 * loop and blocks.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { encodeLoad, encodePredict } from '../../../../src/worker/wire/encode.ts'
import type { WireRequest } from '../../../../src/worker/wire/messages.ts'
import { loadRequest, startWorker, wireRequest } from '../../../helpers/worker-client.ts'
import type { TestWorker, WorkerClient } from '../../../helpers/worker-client.ts'

const modelPath = path.resolve('examples/iris')

async function loadedWorker(t: TestContext): Promise<{ worker: TestWorker; client: WorkerClient }> {
  const worker = await startWorker(t, { environment: { ONNXD_WORKER_ONCE: '1' } })
  const client = await worker.connect()
  const reply = await client.load({ modelPath, handler: '' })
  assert.equal(reply.code, 200)
  return { worker, client }
}

/** A request with as many flowers as `rows`. */
function flowers(id: string, rows: number): WireRequest {
  const body = JSON.stringify(Array.from({ length: rows }, () => [5.1, 3.5, 1.4, 0.2]))
  return wireRequest([['body', body, 'application/json']], [], id)
}

test('requests that come together, and in pieces, are answered in order', async (t) => {
  const { client } = await loadedWorker(t)
  const rows = [1, 2000, 3, 1, 1, 1, 1, 1, 1, 500, 1]
  const frames = rows.map((count, index) =>
    Buffer.concat(encodePredict([flowers(`r${index}`, count)])),
  )
  const bytes = Buffer.concat(frames)
  // The first cut lies within a length, others within a body.
  for (const [from, to] of [
    [0, 3],
    [3, 2000],
    [2000, 30_000],
    [30_000, bytes.length],
  ] as const) {
    await new Promise((resolve) => client.socket.write(bytes.subarray(from, to), resolve))
  }
  for (const [index, count] of rows.entries()) {
    const { code, predictions } = await client.reply()
    assert.equal(code, 200)
    assert.deepEqual(
      predictions.map(({ id, status }) => [id, status]),
      [[`r${index}`, 200]],
    )
    const answer = JSON.parse(String(predictions[0]?.body)) as Record<string, unknown[]>
    assert.ok(Object.values(answer).every((output) => output.length === count))
  }
})

test('a bad request among good ones gets its own error, and the next frame is served', async (t) => {
  const { client } = await loadedWorker(t)
  const bad = wireRequest([['body', '{"other": 1}', 'application/json']], [], 'bad')
  const batch = await client.predict([flowers('a', 1), bad, flowers('b', 2)])
  assert.deepEqual(
    batch.predictions.map(({ id, status }) => [id, status]),
    [
      ['a', 200],
      ['bad', 400],
      ['b', 200],
    ],
  )
  assert.equal((await client.predict([flowers('c', 1)])).predictions[0]?.status, 200)
})

test('what was sent before the end is answered, then the worker ends in peace', async (t) => {
  const { worker, client } = await loadedWorker(t)
  const frames = ['a', 'b', 'c'].map((id) => Buffer.concat(encodePredict([flowers(id, 100)])))
  client.socket.end(Buffer.concat(frames))
  const replies = await client.end()
  assert.deepEqual(
    replies.map(({ predictions }) => predictions[0]?.id),
    ['a', 'b', 'c'],
  )
  assert.deepEqual(await worker.exited, { code: 0, signal: null })
  assert.match(worker.stdout, /^Frontend disconnected\.$/m)
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`${signal} ends a worker that waits`, async (t) => {
    const { worker, client } = await loadedWorker(t)
    await client.predict([flowers('a', 1)])
    worker.process.kill(signal)
    // By the signal's default action: a handler would have to wait for the event loop.
    assert.deepEqual(await worker.exited, { code: null, signal })
    await client.closed
  })
}

test('bytes that break the protocol, half a message, or a second load end the worker with an error', async (t) => {
  const load = Buffer.concat(encodeLoad(loadRequest({ modelPath, handler: '' }), 'mms'))
  const half = Buffer.concat(encodePredict([flowers('a', 1)])).subarray(0, 20)
  for (const [bytes, message] of [
    [Buffer.from('X'), /unknown command byte 0x58/],
    [half, /ends inside a message/],
    [load, /second load request/],
  ] as const) {
    const { worker, client } = await loadedWorker(t)
    client.socket.end(bytes)
    assert.deepEqual(await client.end(), [])
    assert.deepEqual(await worker.exited, { code: 1, signal: null })
    assert.match(worker.stderr, message)
  }
})

test('a front-end that reads slowly gets every reply whole', async (t) => {
  const { client } = await loadedWorker(t)
  client.socket.pause()
  // Their answers are more than a socket holds.
  const ids = Array.from({ length: 40 }, (_, index) => `r${index}`)
  for (const id of ids) client.send(encodePredict([flowers(id, 1000)]))
  // Nothing tells that the socket is full.
  setTimeout(() => client.socket.resume(), 100)
  for (const id of ids) {
    const { predictions } = await client.reply()
    assert.equal(predictions[0]?.id, id)
    assert.doesNotThrow(() => JSON.parse(String(predictions[0]?.body)) as unknown)
  }
})
