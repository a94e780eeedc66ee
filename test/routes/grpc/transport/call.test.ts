import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import type { ClientHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Call } from '../../../../src/routes/grpc/transport/call.ts'
import { ByteBudget } from '../../../../src/routes/http/byte-budget.ts'

/** A call as the server sees it, and the stream of its client. */
async function openCall(
  t: TestContext,
  budget: ByteBudget,
): Promise<{ call: Call; stream: ClientHttp2Stream }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => {
    client.destroy()
    server.close()
  })
  const begun = new Promise<Call>((resolve) => {
    server.on('stream', (stream, headers) =>
      resolve(new Call(stream, headers, { budget, maxMessageBytes: 1 << 20 })),
    )
  })
  const stream = client.request({ ':method': 'POST', ':path': '/a.B/C' })
  stream.on('error', () => {})
  return { call: await begun, stream }
}

function framed(length: number, sent = length): Buffer {
  const bytes = Buffer.alloc(5 + sent)
  bytes.writeUInt32BE(length, 1)
  return bytes
}

test('a message counts in the budget while it arrives, and until the call ends', async (t) => {
  const budget = new ByteBudget(1 << 24)
  const { call, stream } = await openCall(t, budget)
  call.readOne(() => assert.fail('the message is not complete'))
  stream.write(framed(1 << 19, 1000))
  await once(call.stream, 'data')
  assert.equal(budget.held, 1000)
  let hasLeft = false
  call.onLeave = () => (hasLeft = true)
  // Closing the stream would also end the request.
  stream.session?.destroy()
  await once(call.stream, 'close')
  assert.ok(hasLeft)
  assert.equal(call.end?.code, 'CANCELLED')
  assert.equal(budget.held, 0)
  // Nobody would release what a decompression in the background holds from now on.
  assert.throws(() => call.hold(1), { name: 'ClientClosedRequestException' })
  assert.equal(budget.held, 0)
})

test('a call that ends within a message is rejected as incomplete', async (t) => {
  const { call, stream } = await openCall(t, new ByteBudget(1 << 24))
  call.readOne(() => assert.fail('the message is not complete'))
  stream.end(framed(100, 10))
  const [headers] = (await once(stream, 'response')) as [Record<string, string>]
  assert.equal(headers['grpc-status'], '3')
  assert.equal(headers['grpc-message'], 'The request message is incomplete.')
})

test('a response to a stream that was reset a moment ago is dropped', async (t) => {
  const { call } = await openCall(t, new ByteBudget(1 << 24))
  call.abort()
  assert.ok(call.stream.closed && !call.stream.destroyed)
  const sent: boolean[] = []
  call.respond(Buffer.alloc(10), (isSent) => sent.push(isSent))
  call.fail(new Error('too late'))
  assert.deepEqual(sent, [false])
  await once(call.stream, 'close')
})
