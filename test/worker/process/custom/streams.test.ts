/** Streamed responses of custom handlers, at the socket of the worker process. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { encodeCancel, encodePredict } from '../../../../src/worker/wire/encode.ts'
import type { WireHeader, WirePrediction } from '../../../../src/worker/wire/messages.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import { STREAM_SERVICE } from '../../../helpers/stream-model.ts'
import { until } from '../../../helpers/until.ts'
import { modelFolder, startWorker, wireRequest } from '../../../helpers/worker-client.ts'

async function worker(
  t: TestContext,
  options: object = { streams: true },
  code: string = STREAM_SERVICE,
) {
  const started = await startWorker(t, {
    environment: { ONNXD_WORKER_OPTIONS: JSON.stringify(options) },
  })
  const client = await started.connect()
  const modelPath = await modelFolder(t, { 'service.mjs': code })
  assert.equal((await client.load({ modelPath, batchSize: 4 })).code, 200)
  return { started, client }
}

const asks = (id: string, body: string, headers: readonly WireHeader[] = []) =>
  wireRequest([['body', body]], headers, id)

/** Id, whether more follows, and body. */
function parts(predictions: readonly WirePrediction[]): unknown[] {
  return predictions.map(({ id, headers, body }) => [
    id,
    headers.find(([name]) => name === 'ts_stream_next')?.[1],
    String(body),
  ])
}

test('each chunk is a reply with TorchServe’s header, and the last reply says that it is the last', async (t) => {
  const { client } = await worker(t)
  const first = await client.predict([asks('a', 'count:2')])
  assert.deepEqual(parts(first.predictions), [['a', 'true', '{"i":1}\n']])
  assert.equal(first.predictions[0]?.contentType, 'application/x-ndjson')
  assert.deepEqual(parts((await client.reply()).predictions), [['a', 'true', '{"i":2}\n']])
  assert.deepEqual(parts((await client.reply()).predictions), [['a', 'false', '']])

  const events = await client.predict([asks('a', 'count:1', [['Accept', 'text/event-stream']])])
  assert.deepEqual(parts(events.predictions), [['a', 'true', '{"i":1}']])
  await client.reply()

  const plain = await client.predict([asks('b', 'plain:')])
  assert.deepEqual(parts(plain.predictions), [['b', undefined, 'plain']], 'a stream is no state')
})

test('a batch may have several streams and plain responses; one that fails does so alone', async (t) => {
  const { client } = await worker(t)
  const requests = [asks('p', 'plain:'), asks('a', 'texts:["1","2"]'), asks('b', 'breaks:')]
  client.send(encodePredict(requests))
  const texts = new Map<string, string[]>()
  for (let ended = 0; ended < 2;) {
    const { code, predictions } = await client.reply()
    for (const { id, headers, body } of predictions) {
      const isLast = code !== 200 || headers.some(([, value]) => value === 'false')
      ended += isLast ? 1 : 0
      texts.set(id, [...(texts.get(id) ?? []), `${code} ${String(body)}`])
    }
  }
  assert.deepEqual(texts.get('p'), ['200 plain'])
  assert.deepEqual(texts.get('a'), ['200 1', '200 2', '200 '])
  assert.deepEqual(texts.get('b'), ['200 {"i":1}\n', '503 error'])
  assert.equal((await client.predict([asks('c', 'plain:')])).code, 200)
})

test('a message C ends a generator that never waits, and the worker goes on', async (t) => {
  const { client } = await worker(t)
  const file = path.join(temporaryFolder(t), 'end')
  client.send(encodePredict([asks('a', `never:${file}`)]))
  await client.reply()
  client.send(encodeCancel('of another request'))
  client.send(encodeCancel('a'))
  for (;;) {
    const [prediction] = (await client.reply()).predictions
    if (prediction?.headers.some(([, value]) => value === 'false')) break
  }
  assert.equal(readFileSync(file, 'utf8'), 'end')
  client.send(encodeCancel('a'))
  assert.equal((await client.predict([asks('b', 'plain:')])).code, 200, 'too late is no error')
})

test('a front-end that does not read makes the generator wait; one that leaves ends it', async (t) => {
  const { client } = await worker(t)
  const file = path.join(temporaryFolder(t), 'flood')
  client.socket.pause()
  client.send(encodePredict([asks('a', `flood:${file}`)]))
  await until('the generator has begun', () => existsSync(file))
  let size = 0
  await until('the generator waits', () => {
    const before = size
    size = statSync(file).size
    return size === before
  })
  assert.ok(size < 50, `${size} chunks of 64 KiB were made`)
  client.socket.destroy()
  await until('the generator has ended', () => readFileSync(file, 'utf8').endsWith('end'))
})

test('for a front-end that accepts one reply only, chunks are collected, up to the limit', async (t) => {
  const { client } = await worker(t, { maxResponseBytes: 1000 })
  const requests = [asks('a', 'count:2'), asks('b', 'breaks:'), asks('c', 'plain:')]
  const { code, predictions } = await client.predict(requests)
  assert.equal(code, 200)
  assert.deepEqual(parts([predictions[0], predictions[2]].filter((one) => one !== undefined)), [
    ['a', undefined, '{"i":1}\n{"i":2}\n'],
    ['c', undefined, 'plain'],
  ])
  assert.deepEqual([predictions[1]?.id, predictions[1]?.status], ['b', 503])
  const large = await client.predict([asks('a', 'count:1000')])
  assert.equal(large.predictions[0]?.status, 507)
  assert.match(String(large.predictions[0]?.body), /limit of 1000 \(maxResponseBytes\)/)
})

test('what is not a stream that can be sent fails as without a stream', async (t) => {
  const { client } = await worker(t, { streams: true, maxResponseBytes: 1000 })
  assert.deepEqual(await client.predict([asks('a', 'throws:')]).then(({ code }) => code), 503)
  const declined = await client.predict([asks('a', 'declines:')])
  assert.deepEqual([declined.code, declined.message], [422, 'not today'])
  const batch = await client.predict([asks('a', 'throws:'), asks('b', 'declines:')])
  assert.deepEqual(
    batch.predictions.map(({ status }) => status),
    [503, 422],
  )
  const nothing = await client.predict([asks('a', 'nothing:')])
  assert.deepEqual(parts(nothing.predictions), [['a', 'true', '']])
  await client.reply()
  for (const [verb, message] of [
    ['bad:', 'Unsupported model output data type.'],
    ['large:2000', /A chunk of the response has 2000 bytes, more than the limit of 1000/],
  ] as const) {
    await client.predict([asks('a', verb)])
    const end = await client.reply()
    if (typeof message === 'string') assert.equal(end.message, message)
    else assert.match(end.message, message)
  }
  for (const verb of ['sync', 'web', 'readable']) {
    const replies = [await client.predict([asks('a', `${verb}:`)])]
    replies.push(await client.reply(), await client.reply())
    assert.deepEqual(
      replies.map(({ predictions: [one] }) => String(one?.body)),
      ['a', 'b', ''],
      verb,
    )
  }
})

test('the handler itself may be a generator, for batches of one request', async (t) => {
  const code = 'export async function* handle(data) { yield 1; yield String(data[0].body) }'
  const { client } = await worker(t, { streams: true }, code)
  const replies = [await client.predict([asks('a', 'x')]), await client.reply()]
  assert.deepEqual(
    replies.map(({ predictions: [one] }) => String(one?.body)),
    ['1\n', 'x'],
  )
  await client.reply()
  const batch = await client.predict([asks('a', 'x'), asks('b', 'y')])
  assert.deepEqual([batch.code, batch.message], [503, 'Invalid model predict output'])
})
