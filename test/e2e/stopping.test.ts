/** What clients see while the server stops, over real processes, sockets and signals. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { needs } from '../helpers/needs.ts'
import { startNginx } from '../helpers/nginx.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { FLOWER, iris, startProcess } from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { isAlive, temporaryFolder, until } from '../helpers/server.ts'

const MIB = 1024 * 1024

const start = (t: TestContext, ...args: string[]): Promise<ServerProcess> =>
  startProcess(t, temporaryFolder(t), args)
const startWithHandler = (t: TestContext, ...args: string[]): Promise<ServerProcess> =>
  start(t, '--allow-handlers', handlerModel(t, 'told'), ...args)
const post = (body: string): string =>
  `POST /predictions/told HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const PING = 'GET /ping HTTP/1.1\r\nHost: test\r\n\r\n'

async function statusOf(url: string): Promise<number> {
  const answer = await fetch(url)
  await answer.arrayBuffer()
  return answer.status
}

test('B6: a server that stops says so by its readiness first, and serves on meanwhile', async (t) => {
  const server = await start(t, iris, '--stop-delay', '4')
  const { inferenceUrl, managementUrl } = server
  const probes = ['/ping', '/v2/health/ready', '/v2/models/iris/ready', '/v1/models/iris']
  const versioned = '/v2/models/iris/versions/1.0/ready'
  for (const route of [...probes, versioned])
    assert.equal(await statusOf(inferenceUrl + route), 200)
  process.kill(server.pid, 'SIGTERM')
  await until(async () => (await statusOf(`${inferenceUrl}/ping`)) === 503)
  for (const route of [...probes, versioned])
    assert.equal(await statusOf(inferenceUrl + route), 503, route)
  assert.equal(await statusOf(`${inferenceUrl}/v2/health/live`), 200)
  assert.equal(await statusOf(`${managementUrl}/ping`), 503)
  // Each on a connection of its own: both listeners still take new ones.
  for (let round = 0; round < 20; round += 1) {
    const headers = { ...FLOWER.headers, connection: 'close' }
    const answer = await fetch(`${inferenceUrl}/predictions/iris`, { ...FLOWER, headers })
    assert.equal(answer.status, 200)
    await answer.text()
    assert.equal(await statusOf(`${managementUrl}/models`), 200)
  }
  await until(() => !isAlive(server.pid))
})

test('E9: what is answered after the signal says that its connection ends', async (t) => {
  const server = await startWithHandler(t, '--stop-delay', '1')
  const gate = newGate(t)
  const [working, idle, pipelined] = [
    await RawClient.connect(t, server.inferenceUrl),
    await RawClient.connect(t, server.inferenceUrl),
    await RawClient.connect(t, server.inferenceUrl),
  ]
  for (const client of [working, idle, pipelined]) client.read()
  await idle.write(PING)
  await idle.answered()
  assert.match(idle.text, /^connection: keep-alive\r$/im)
  await working.write(post(`wait:${gate.path}`))
  await pipelined.write(post(`wait:${gate.path}`) + post('echo:second'))
  await until(async () => {
    const found = await fetch(`${server.managementUrl}/metrics`).then((answer) => answer.text())
    return /^onnxd_batch_size_count\{[^}]*\} [1-9]/m.test(found)
  })
  process.kill(server.pid, 'SIGTERM')
  await until(async () => (await statusOf(`${server.inferenceUrl}/ping`)) === 503)
  await idle.write(PING)
  await idle.ended
  assert.deepEqual(idle.statuses, [200, 503])
  assert.equal(idle.text.match(/^connection: close\r$/gim)?.length, 1)
  gate.open()
  await Promise.all([working.ended, pipelined.ended])
  assert.deepEqual([working.statuses, working.error], [[200], undefined])
  assert.match(working.text, /^connection: close\r$/im)
  // The first response must not end a connection on which a second request has arrived.
  assert.deepEqual([pipelined.statuses, pipelined.error], [[200, 200], undefined])
  assert.match(pipelined.text, /second$/)
  for (const client of [working, idle, pipelined]) client.socket.end()
  await until(() => !isAlive(server.pid))
})

test('E3: a response that is being sent arrives as a whole, however slowly it is read', async (t) => {
  const limit = ['--max-body-bytes', String(64 * MIB), '--drain-timeout', '20']
  const server = await startWithHandler(t, ...limit)
  const body = Buffer.alloc(48 * MIB, 'y')
  const client = await RawClient.connect(t, server.inferenceUrl)
  const { socket } = client
  socket.pause()
  let received = 0
  let ends = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
    ends = (ends + chunk.toString('latin1')).slice(0, 500)
  })
  socket.pause()
  await client.write(
    `POST /predictions/told HTTP/1.1\r\nHost: test\r\nx-echo: bytes\r\nContent-Type: application/octet-stream\r\nContent-Length: ${body.length}\r\n\r\n`,
  )
  await client.write(body)
  socket.resume()
  await once(socket, 'data')
  process.kill(server.pid, 'SIGTERM')
  while (received < body.length) {
    socket.pause()
    await delay(50)
    const before = received
    socket.resume()
    await until(() => received - before >= MIB || received >= body.length || socket.readableEnded)
    if (socket.readableEnded) break
  }
  await client.ended
  const head = ends.indexOf('\r\n\r\n') + 4
  assert.deepEqual([received - head, client.error], [body.length, undefined])
  socket.end()
  await until(() => !isAlive(server.pid))
})

test('E3: what is not done after the drain timeout is cut off, and the server ends', async (t) => {
  const server = await startWithHandler(t, '--stop-delay', '0', '--drain-timeout', '1')
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  await client.write(post('spin'))
  await until(async () => {
    const found = await fetch(`${server.managementUrl}/metrics`).then((answer) => answer.text())
    return /^onnxd_batch_size_count\{[^}]*\} [1-9]/m.test(found)
  })
  const startedAt = performance.now()
  process.kill(server.pid, 'SIGTERM')
  await until(() => !isAlive(server.pid))
  assert.ok(performance.now() - startedAt < 8000)
})

test('B6: an idle connection is closed last and without a reset', async (t) => {
  const server = await start(t, iris, '--stop-delay', '1')
  const silent = await RawClient.connect(t, server.inferenceUrl)
  const kept = await RawClient.connect(t, server.inferenceUrl)
  for (const client of [silent, kept]) client.read()
  await kept.write(PING)
  await kept.answered()
  process.kill(server.pid, 'SIGTERM')
  await Promise.all([silent.ended, kept.ended])
  assert.deepEqual([silent.error, kept.error], [undefined, undefined])
  await assert.rejects(fetch(`${server.inferenceUrl}/ping`), 'the listener is closed before them')
  // Clients that keep their side open do not hold the server up.
  await until(() => !isAlive(server.pid))
})

/**
 * Clients that send one request after the other over kept connections. What happened, by its kind.
 */
class Hammer {
  readonly counts = new Map<string, number>()
  readonly #agent: Agent
  readonly #url: URL
  readonly #running: Promise<unknown>
  #isOver = false

  constructor(url: string, clients: number) {
    this.#url = new URL('/predictions/iris', url)
    this.#agent = new Agent({ keepAlive: true, maxSockets: clients })
    this.#running = Promise.all(Array.from({ length: clients }, () => this.#run()))
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
    this.#agent.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const outcome = await this.#send()
      this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1)
      if (outcome === 'ECONNREFUSED') await delay(5)
    }
  }

  #send(): Promise<string> {
    return new Promise((resolve) => {
      const options = { method: 'POST', agent: this.#agent, headers: FLOWER.headers }
      const sent = httpRequest(this.#url, options, (answer) => {
        answer.resume()
        answer.once('end', () => resolve(String(answer.statusCode)))
        answer.once('error', (error: NodeJS.ErrnoException) => resolve(`body ${error.code}`))
      })
      sent.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      sent.end(FLOWER.body)
    })
  }
}

async function stopUnder(server: ServerProcess, url: string): Promise<ReadonlyMap<string, number>> {
  const hammer = new Hammer(url, 8)
  await until(() => (hammer.counts.get('200') ?? 0) > 50)
  process.kill(server.pid, 'SIGTERM')
  await until(() => !isAlive(server.pid))
  await hammer.stop()
  return hammer.counts
}

test('B6: clients with kept connections see no reset when the server stops', async (t) => {
  // Without a delay a connection that is being made when the listener closes is reset by the kernel.
  for (let round = 0; round < 3; round += 1) {
    const server = await start(t, iris, '--stop-delay', '1')
    const counts = await stopUnder(server, server.inferenceUrl)
    const others = [...counts.keys()].filter((kind) => !['200', 'ECONNREFUSED'].includes(kind))
    assert.deepEqual(others, [])
  }
})

test('B6: nor does nginx, which keeps connections', { skip: needs('nginx', '-v') }, async (t) => {
  for (let round = 0; round < 2; round += 1) {
    const server = await start(t, iris)
    const nginx = await startNginx(t, server.inferenceUrl)
    const counts = await stopUnder(server, nginx.url)
    // 502 is right once nobody listens.
    assert.deepEqual([...counts.keys()].toSorted(), ['200', '502'])
    const causes = new Set(nginx.errors().match(/\(\d+: [^)]+\)|prematurely closed/g))
    assert.deepEqual([...causes], ['(111: Connection refused)'])
  }
})
