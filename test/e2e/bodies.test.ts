/**
 * Large bodies of many concurrent clients: buffers are reused, and no client may receive a byte of
 * another one.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { randomNumbers } from '../helpers/random.ts'
import { serve } from '../helpers/server.ts'

const CLIENTS = 8
const ROUNDS = 15
const LARGEST = 3 * 1024 * 1024

/**
 * Sends bodies of random sizes. Every fourth client disconnects halfway. Returns the number of
 * complete responses.
 */
async function exchange(
  seed: number,
  send: (body: Buffer, signal: AbortSignal) => Promise<Response>,
): Promise<number> {
  const numbers = randomNumbers(seed)
  let answers = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    // Each client has bytes of its own, and sizes on both sides of every limit.
    const size = Math.floor(LARGEST ** numbers.next())
    const body = Buffer.alloc(size, numbers.integer(1, 255))
    const leaving = new AbortController()
    const isLeaving = numbers.integer(0, 3) === 0
    // A client may leave at any moment of its request.
    if (isLeaving) setTimeout(() => leaving.abort(), numbers.integer(0, 10))
    try {
      const answer = await send(body, leaving.signal)
      const bytes = Buffer.from(await answer.arrayBuffer())
      assert.equal(answer.status, 200, bytes.subarray(0, 200).toString())
      assert.ok(bytes.equals(body), `${size} bytes came back changed`)
      answers += 1
    } catch (error) {
      if (!isLeaving || error instanceof assert.AssertionError) throw error
    }
  }
  return answers
}

async function exchangeAll(
  send: (body: Buffer, signal: AbortSignal) => Promise<Response>,
): Promise<void> {
  const clients = Array.from({ length: CLIENTS }, (_, index) => exchange(index + 1, send))
  const answers = await Promise.all(clients)
  assert.ok(answers.every((count) => count >= ROUNDS / 3))
}

test('an ONNX model returns to each client its own bytes', async (t) => {
  const server = await serve(t, [modelPath('identity_uint8')], { queueSize: 100, workers: 2 })
  await exchangeAll((body, signal) =>
    server.fetch('/predictions/identity_uint8', {
      method: 'POST',
      body,
      signal,
      headers: {
        'content-type': 'application/octet-stream',
        accept: 'application/octet-stream',
        'tensor-shape': `1,${body.length}`,
      },
    }),
  )
})

test('a custom handler returns to each client its own bytes', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, queueSize: 100 })
  await exchangeAll((body, signal) =>
    server.fetch('/predictions/tool', {
      method: 'POST',
      body,
      signal,
      headers: { 'content-type': 'application/octet-stream', 'x-echo': 'bytes' },
    }),
  )
})
