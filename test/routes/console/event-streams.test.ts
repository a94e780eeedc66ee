import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { EventStreams } from '../../../src/routes/console/event-streams.ts'
import { RecentLog } from '../../../src/routes/management/recent-log.ts'
import { until } from '../../helpers/server.ts'

const SECOND_MS = 1000

test('a client that reads nothing is disconnected', async (t) => {
  let round = 0
  // Larger than the buffers of a connection, and never the same.
  const read = (): Promise<Map<string, string>> => {
    round += 1
    return Promise.resolve(
      new Map([['part', JSON.stringify(String(round).repeat(4 * 1024 * 1024))]]),
    )
  }
  const { socket, isConnected } = await openStream(t, read)
  socket.pause()
  const begun = round
  await until(async () => {
    t.mock.timers.tick(SECOND_MS)
    await nextTurn()
    return !isConnected()
  })
  assert.ok(round - begun >= 10, `after ${String(round - begun)} seconds`)
})

test('nothing is read when nobody looks', async (t) => {
  let reads = 0
  const { socket, isConnected } = await openStream(t, () => {
    reads += 1
    return Promise.resolve(new Map())
  })
  socket.destroy()
  await until(() => !isConnected())
  const before = reads
  t.mock.timers.tick(10 * SECOND_MS)
  await nextTurn()
  assert.equal(reads, before)
})

test('a state that cannot be read ends the streams, and the server goes on', async (t) => {
  const { socket, logged } = await openStream(t, () => Promise.reject(new Error('no state')))
  socket.resume()
  await once(socket, 'end')
  assert.deepEqual(logged, ['the console has no data'])
})

/** Serves one stream on a connection. The clock of the streams stands still. */
async function openStream(
  t: TestContext,
  read: () => Promise<ReadonlyMap<string, string>>,
): Promise<{ socket: Socket; isConnected: () => boolean; logged: string[] }> {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const stopping = new AbortController()
  const logged: string[] = []
  const log = { error: (_fields: object, text: string) => logged.push(text) }
  const context = {
    recentLog: new RecentLog(),
    isStopping: () => false,
    stopping: stopping.signal,
  }
  const streams = new EventStreams(read, context, log as unknown as FastifyBaseLogger)
  let isOpen = true
  const server = createServer((_request, raw) => {
    raw.once('close', () => (isOpen = false))
    const reply = { raw, hijack: () => {} }
    streams.open({ id: 'a' } as FastifyRequest, reply as unknown as FastifyReply)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    socket.destroy()
    server.close()
  })
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  await once(socket, 'readable')
  return { socket, isConnected: () => isOpen, logged }
}
