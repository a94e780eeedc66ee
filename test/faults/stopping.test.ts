/** Block O, rows O11 and O13: what clients see while the server stops, and how long it takes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startCommand } from '../helpers/command.ts'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { needs } from '../helpers/needs.ts'
import { startNginx } from '../helpers/nginx.ts'
import { acceptedRequests } from '../helpers/observe.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { FLOWER, iris, processTree, startProcess } from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { isAlive, temporaryFolder, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { size } from './harness.ts'

const MIB = 1024 * 1024
/** Added to each goal: the machine of a test run may be busy with other tests. */
const BUSY_MS = 4000

const start = (t: TestContext, ...args: string[]): Promise<ServerProcess> =>
  startProcess(t, temporaryFolder(t), args)
const startWithHandler = (t: TestContext, ...args: string[]): Promise<ServerProcess> =>
  start(t, '--allow-handlers', handlerModel(t, 'told'), ...args)
const post = (body: string): string =>
  `POST /predictions/told HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const PING = 'GET /ping HTTP/1.1\r\nHost: test\r\n\r\n'

/** Waits until so many batches are at the workers or were there. */
async function batchesBegun({ managementUrl }: ServerProcess, count: number): Promise<void> {
  await until(async () => {
    const text = await (await fetch(`${managementUrl}/metrics`)).text()
    return Number(/^onnxd_batch_size_count\{[^}]*\} (\d+)/m.exec(text)?.[1]) >= count
  })
}

async function listenerClosed({ inferenceUrl }: ServerProcess): Promise<void> {
  await until(() =>
    statusOf(`${inferenceUrl}/ping`).then(
      () => false,
      () => true,
    ),
  )
}

/** Connections to a port that neither side has closed, as the system lists them. */
function connectionsOf(url: string): number {
  const port = Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0')
  const isOpen = new RegExp(`^ *\\d+: \\w+:${port} \\w+:\\w+ (?:01|08) `, 'gm')
  return readFileSync('/proc/net/tcp', 'utf8').match(isOpen)?.length ?? 0
}

async function statusOf(url: string, init: RequestInit = {}): Promise<number> {
  const answer = await fetch(url, init)
  await answer.arrayBuffer()
  return answer.status
}

test('O11 a server that stops reports it by its readiness first, and serves on meanwhile', async (t) => {
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

test('O11 a client whose connections are short is served during the whole delay', async (t) => {
  const server = await start(t, iris, '--stop-delay', '2')
  const short = { headers: { connection: 'close' } }
  assert.equal(await statusOf(`${server.inferenceUrl}/ping`, short), 200)
  // The connection has ended for the server too before it gets the signal.
  await until(() => connectionsOf(server.inferenceUrl) === 0)
  const signalledAt = performance.now()
  process.kill(server.pid, 'SIGTERM')
  let servedMs = 0
  while (isAlive(server.pid)) {
    const headers = { ...FLOWER.headers, connection: 'close' }
    const status = await fetch(`${server.inferenceUrl}/predictions/iris`, {
      ...FLOWER,
      headers,
    }).then(
      (answer) => answer.status,
      () => 'refused',
    )
    if (status === 'refused') break
    assert.equal(status, 200)
    servedMs = performance.now() - signalledAt
  }
  assert.ok(servedMs > 1500, `served for ${servedMs} ms`)
  await until(() => !isAlive(server.pid))
})

test('O11 E9 a response after the signal says that its connection ends', async (t) => {
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
  await batchesBegun(server, 1)
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

test('O11 E3 a response that is being sent arrives as a whole, however slowly it is read', async (t) => {
  const limit = ['--max-body-bytes', String(64 * MIB), '--drain-timeout', '20']
  const server = await startWithHandler(t, ...limit)
  const body = Buffer.alloc(size(16, 48) * MIB, 'y')
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
  const bytes = received - (ends.indexOf('\r\n\r\n') + 4)
  reportFigure(t, {
    what: `response of ${body.length / MIB} MB to a slow reader during SIGTERM`,
    goal: 'all bytes',
    seen: bytes === body.length ? 'all bytes' : `${bytes} of ${body.length} bytes`,
    isMet: bytes === body.length && client.error === undefined,
  })
  assert.deepEqual([bytes, client.error], [body.length, undefined])
  socket.end()
  await until(() => !isAlive(server.pid))
})

test('O13 a worker that hangs is killed after the drain timeout, and the server ends', async (t) => {
  // A handler that computes, one that waits for ever, and one in a call of the system.
  const wishes = ['spin', 'sleep:1000000', 'shell:sleep 300']
  for (const wish of wishes.slice(0, size(1, wishes.length))) {
    const server = await startWithHandler(t, '--stop-delay', '0', '--drain-timeout', '1')
    const client = await RawClient.connect(t, server.inferenceUrl)
    client.read()
    await client.write(post(wish))
    await batchesBegun(server, 1)
    const pids = processTree(server.pid)
    const startedAt = performance.now()
    process.kill(server.pid, 'SIGTERM')
    await until(() => !isAlive(server.pid))
    const ms = performance.now() - startedAt
    t.diagnostic(`${wish}: ended ${ms.toFixed(0)} ms after SIGTERM`)
    assert.ok(ms >= 1000 && ms < 1000 + 1000 + BUSY_MS, `${wish}: ${ms} ms`)
    assert.ok(pids.length > 1)
    await until(() => pids.every((pid) => !isAlive(pid)))
    // It checks the exit code as well, which must be 0.
    await server.close()
  }
})

test('O11 an idle connection is closed last and without a reset', async (t) => {
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

async function stopUnder(
  server: ServerProcess,
  url: string,
  clients: number,
): Promise<ReadonlyMap<string, number>> {
  const hammer = new Hammer(url, clients)
  await until(() => (hammer.counts.get('200') ?? 0) > 50)
  process.kill(server.pid, 'SIGTERM')
  await until(() => !isAlive(server.pid))
  await hammer.stop()
  return hammer.counts
}

test('O11 clients with kept connections see no reset when the server stops', async (t) => {
  const kinds = new Map<string, number>()
  const rounds = size(1, 10)
  const clients = size(8, 64)
  // Without a stop delay the kernel resets connections that are not accepted when the listener
  // closes.
  for (let round = 0; round < rounds; round += 1) {
    const server = await start(t, iris, '--stop-delay', '1')
    for (const [kind, count] of await stopUnder(server, server.inferenceUrl, clients))
      kinds.set(kind, (kinds.get(kind) ?? 0) + count)
    await server.close()
  }
  const others = [...kinds].filter(([kind]) => !['200', 'ECONNREFUSED'].includes(kind))
  const resets = others.reduce((sum, [, count]) => sum + count, 0)
  reportFigure(t, {
    what: 'resets seen by keep-alive clients during SIGTERM',
    goal: '0',
    seen: `${resets} in ${kinds.get('200')} requests of ${clients} clients, ${rounds} stops`,
    isMet: others.length === 0,
  })
  assert.deepEqual(others, [])
})

test('O11 what was accepted before the signal is served: at the worker and in the queue', async (t) => {
  const count = size(20, 50)
  // With several HTTP processes, each has a part of the requests: a batch would never be full.
  const isOne = httpProcesses === 1
  const oneBatch = ['--batch-size', String(count), '--max-batch-delay', '20000']
  const batch = ['--workers', '1', ...(isOne ? oneBatch : [])]
  const server = await startWithHandler(t, ...batch, '--drain-timeout', '20', '--stop-delay', '0')
  const gate = newGate(t)
  const clients: RawClient[] = []
  const send = async (wish: string): Promise<void> => {
    const client = await RawClient.connect(t, server.inferenceUrl)
    client.read()
    // The connection has been in use, as those of a proxy.
    await client.write(PING)
    await client.answered(1)
    await client.write(post(wish))
    clients.push(client)
  }
  for (let number = 0; number < count; number += 1) await send(`wait:${gate.path}`)
  await gate.holds(isOne ? count : 1)
  for (let number = 0; number < count; number += 1) await send('echo:queued')
  await until(async () => (await acceptedRequests(server, 'told')) === 2 * count)
  process.kill(server.pid, 'SIGTERM')
  await listenerClosed(server)
  gate.open()
  await Promise.all(clients.map(({ ended }) => ended))
  for (const client of clients) {
    assert.deepEqual([client.statuses, client.error], [[200, 200], undefined])
    // The last response announces the end of its connection.
    assert.equal(client.text.match(/^connection: close\r$/gim)?.length, 1)
    client.socket.end()
  }
  await until(() => !isAlive(server.pid))
  await server.close()
})

test('O11 a request that comes after the signal is served or refused, and never lost', async (t) => {
  const server = await startWithHandler(t, '--drain-timeout', '5', '--stop-delay', '0')
  const gate = newGate(t)
  const [working, later] = [
    await RawClient.connect(t, server.inferenceUrl),
    await RawClient.connect(t, server.inferenceUrl),
  ]
  for (const client of [working, later]) client.read()
  await working.write(post(`wait:${gate.path}`))
  await gate.holds(1)
  // Its head has come before the signal, its body comes after it.
  const request = post('echo:late')
  await later.write(request.slice(0, -3))
  // What came before is read before this is answered.
  assert.equal(await statusOf(`${server.inferenceUrl}/ping`), 200)
  process.kill(server.pid, 'SIGTERM')
  await listenerClosed(server)
  await later.write(request.slice(-3))
  gate.open()
  await later.ended
  assert.ok([200, 503].includes(later.statuses[0] ?? 0), later.text)
  assert.equal(later.error, undefined)
  assert.match(later.text, /^connection: close\r$/im)
  await working.ended
  assert.deepEqual([working.statuses, working.error], [[200], undefined])
  for (const client of [working, later]) client.socket.end()
  await until(() => !isAlive(server.pid))
})

test('O11 with nobody connected the server ends at once, whatever the delay is', async (t) => {
  const times: number[] = []
  for (let round = 0; round < size(1, 5); round += 1) {
    const command = startCommand(t, ['--stop-delay', '30', '--drain-timeout', '30', iris])
    await command.ready()
    const { code, ms } = await command.end('SIGTERM')
    assert.equal(code, 0)
    times.push(ms)
  }
  const worst = Math.max(...times)
  reportFigure(t, {
    what: 'exit after SIGTERM: idle',
    goal: '≤ 1 s (with `--stop-delay 0` or nobody connected)',
    seen: `${(worst / 1000).toFixed(2)} s`,
    isMet: worst <= 1000,
  })
  assert.ok(worst < 1000 + BUSY_MS, `${worst} ms`)
})

test(
  'O11 nginx, which keeps connections, sees no reset either',
  { skip: needs('nginx', '-v') },
  async (t) => {
    for (let round = 0; round < size(1, 3); round += 1) {
      const server = await start(t, iris)
      const nginx = await startNginx(t, server.inferenceUrl)
      const counts = await stopUnder(server, nginx.url, 8)
      // 502 is right once nobody listens.
      assert.deepEqual([...counts.keys()].toSorted(), ['200', '502'])
      const causes = new Set(nginx.errors().match(/\(\d+: [^)]+\)|prematurely closed/g))
      assert.deepEqual([...causes], ['(111: Connection refused)'])
    }
  },
)
