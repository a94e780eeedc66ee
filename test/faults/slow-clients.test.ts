/** Block N: clients that send slowly, nothing or too much, and clients that do not read. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { handlerModel } from '../helpers/handler-model.ts'
import { httpProcesses, oneProcess } from '../helpers/http-processes.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { iris, openFiles } from '../helpers/server-process.ts'
import { CLI, serve, start, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { assertUnharmed, block, heldBy, size, startLaboratory } from './harness.ts'
import { assertRefused, closedBy, forgetPeak, head, memoryOf } from './wire.ts'

const MIB = 1024 * 1024
const HOST = 'Host: localhost'
const FLOWER = '{"features":[[5.1,3.5,1.4,0.2]]}'
const JSON_TYPE = 'Content-Type: application/json'
const BINARY = 'Content-Type: application/octet-stream'
const FORM = 'Content-Type: multipart/form-data; boundary=b'
const CHUNKED = 'Transfer-Encoding: chunked'
const PREDICT = 'POST /predictions/reference HTTP/1.1'

const HEADERS_SECONDS = 2
const REQUEST_SECONDS = 4
/** Timeouts are checked once a second; the rest is for a machine that has other things to do. */
const TOLERANCE_MS = 4000
const WRITE_SECONDS = 2
const LARGE_BYTES = 50 * MIB

const row = block({
  settings: {
    headersTimeout: HEADERS_SECONDS,
    requestTimeout: REQUEST_SECONDS,
    bodyTimeout: 3,
    // For uploads the longer one of the two counts.
    downloadTimeout: REQUEST_SECONDS,
    writeTimeout: WRITE_SECONDS,
    responseTimeout: 30,
  },
  models: (t) => [largeModel(t)],
})

/** A model whose response has as many bytes as the request says. */
function largeModel(t: Cleanup): string {
  const folder = path.join(temporaryFolder(t), 'large')
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'export const handle = (data) => data?.map(({ body }) => Buffer.alloc(Number(body)))',
  )
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  return folder
}

/** A request of {@link largeModel}. */
function largeRequest(bytes: number, ...lines: string[]): string {
  const text = String(bytes)
  const length = `Content-Length: ${text.length}`
  const type = 'Content-Type: text/plain'
  return head('POST /predictions/large HTTP/1.1', HOST, type, length, ...lines) + text
}

/**
 * Sends `whole`, then `piece` every half second until the connection ends. Returns what was
 * received, and when.
 */
async function trickle(
  t: TestContext,
  url: string,
  whole: string,
  piece: string,
): Promise<{ received: Awaited<ReturnType<typeof closedBy>>; ms: number }> {
  const client = await RawClient.connect(t, url)
  const startedAt = performance.now()
  client.read()
  await client.write(whole)
  const timer = setInterval(() => void client.write(piece), 500)
  const received = await closedBy(client)
  clearInterval(timer)
  return { received, ms: performance.now() - startedAt }
}

row('N01', 'a head that comes byte by byte is 408 after its timeout', async (server, t) => {
  await Promise.all(
    [server.inferenceUrl, server.managementUrl].flatMap((url) =>
      ['GET /', 'GET /ping HTTP/1.1\r\nHost: x\r\nA: ', `${PREDICT}\r\n`].map(async (whole) => {
        const { received, ms } = await trickle(t, url, whole, 'a')
        assertRefused(received, 408, whole)
        assert.deepEqual(received.statuses, [408])
        assert.ok(ms < HEADERS_SECONDS * 1000 + TOLERANCE_MS, `${ms} ms`)
      }),
    ),
  )
})

row('N02', 'a body that comes byte by byte is 408 after its timeout', async (server, t) => {
  const length = 'Content-Length: 100000'
  const part = '--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n'
  const chunk = `${part.length.toString(16)}\r\n${part}\r\n`
  await Promise.all(
    (
      [
        [server.inferenceUrl, head(PREDICT, HOST, JSON_TYPE, length), ' '],
        [server.inferenceUrl, head(PREDICT, HOST, BINARY, length), ' '],
        [server.inferenceUrl, head(PREDICT, HOST, JSON_TYPE, CHUNKED), '1\r\n \r\n'],
        [server.inferenceUrl, head(PREDICT, HOST, FORM, length) + part, ' '],
        [server.inferenceUrl, head('POST /v2/models/reference/infer HTTP/1.1', HOST, length), ' '],
        [server.managementUrl, head('POST /models HTTP/1.1', HOST, JSON_TYPE, length), ' '],
        [server.managementUrl, head('POST /models HTTP/1.1', HOST, FORM, length) + part, ' '],
        [
          server.managementUrl,
          head('POST /models HTTP/1.1', HOST, FORM, CHUNKED) + chunk,
          '1\r\n \r\n',
        ],
      ] as const
    ).map(async ([url, whole, piece]) => {
      const { received, ms } = await trickle(t, url, whole, piece)
      assertRefused(received, 408, whole, whole.includes('/v2/'))
      assert.deepEqual(received.statuses, [408])
      assert.ok(ms < REQUEST_SECONDS * 1000 + TOLERANCE_MS, `${ms} ms`)
    }),
  )
})

/** Files that this process may open. */
function openFilesLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1])
}

test(
  'N03 slow clients are served beside silent connections, which are closed',
  { skip: openFilesLimit() < size(500, 3000) && 'needs more open files', timeout: 120_000 },
  async (t) => {
    const silentCount = size(100, 2000)
    const slowCount = size(10, 50)
    const server = await startLaboratory(t, {
      settings: { headersTimeout: 5, bodyTimeout: 5, maxConnections: 3000 },
    })
    const held = heldBy(server)
    const silent: RawClient[] = []
    for (const url of [server.inferenceUrl, server.managementUrl]) {
      const wanted = url === server.inferenceUrl ? silentCount : silentCount / 10
      for (let count = 0; count < wanted; count += 100) {
        const batch = Array.from({ length: Math.min(100, wanted - count) }, () => 0)
        silent.push(...(await Promise.all(batch.map(() => RawClient.connect(t, url)))))
      }
    }
    const slow = async (): Promise<number | undefined> => {
      const client = await RawClient.connect(t, server.inferenceUrl)
      client.read()
      const length = `Content-Length: ${FLOWER.length}`
      await client.write(head(PREDICT, HOST, JSON_TYPE, 'Connection: close', length))
      for (let at = 0; at < FLOWER.length; at += 4) {
        await client.write(FLOWER.slice(at, at + 4))
        await delay(250)
      }
      const { statuses } = await closedBy(client)
      return statuses[0]
    }
    const served = await Promise.all(Array.from({ length: slowCount }, slow))
    const ok = served.filter((status) => status === 200).length
    reportFigure(t, {
      what: 'slow clients served beside 2 000 silent connections',
      goal: 'all',
      seen: `${ok} of ${slowCount}`,
      isMet: ok === slowCount,
    })
    assert.equal(ok, slowCount)
    for (const client of silent) client.read()
    const ends = await Promise.all(silent.map(closedBy))
    assert.deepEqual(new Set(ends.flatMap(({ statuses }) => statuses)), new Set([408]))
    await assertUnharmed(server, held)
  },
)

row('N05', 'a response that is not read is cut off by the write timeout', async (server, t) => {
  forgetPeak(server.pid)
  const before = memoryOf(server.pid).now
  const client = await RawClient.connect(t, server.inferenceUrl)
  await client.write(largeRequest(LARGE_BYTES))
  const line = await server.logged(({ msg }) => String(msg).includes('the client did not read'))
  assert.ok(Number(line.bytes) > LARGE_BYTES / 2, `${String(line.bytes)} bytes`)
  const grown = (memoryOf(server.pid).peak - before) / MIB
  t.diagnostic(`${grown.toFixed(0)} MiB`)
  assert.ok(grown < 150, `${grown} MiB`)
  client.read()
  const { text } = await closedBy(client)
  assert.ok(text.length < LARGE_BYTES, `${text.length} bytes`)
})

row('N05', 'pipelined responses that are not read are not kept', async (server, t) => {
  const requests = head('GET /openapi.json HTTP/1.1', HOST).repeat(size(200, 50_000))
  for (const url of [server.inferenceUrl, server.managementUrl]) {
    forgetPeak(server.pid)
    const before = memoryOf(server.pid).now
    const client = await RawClient.connect(t, url)
    client.socket.write(requests)
    const cutOff = server.logLines.length
    await until(() =>
      server.logLines.slice(cutOff).some(({ msg }) => String(msg).includes('did not read')),
    )
    const grown = (memoryOf(server.pid).peak - before) / MIB
    t.diagnostic(`${grown.toFixed(0)} MiB`)
    assert.ok(grown < 150, `${grown} MiB`)
    client.socket.destroy()
  }
})

test('N02 a body that goes on arriving is no silent one, however slow it is', async (t) => {
  const server = await serve(t, [iris], { bodyTimeout: 2 })
  const body = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  const lines = ['POST /predictions/iris HTTP/1.1', 'Host: x', 'Content-Type: application/json']
  await client.write([...lines, `Content-Length: ${body.length}`, '', ''].join('\r\n'))
  for (const character of body) {
    await client.write(character)
    await new Promise((resolve) => setTimeout(resolve, 120))
  }
  await client.answered()
  assert.deepEqual(client.statuses, [200])
})

test('N03 a listener holds as many connections as it is told, and says when it is full', async (t) => {
  const server = await serve(t, [], { maxConnections: 4 })
  const clients: RawClient[] = []
  for (let count = 0; count < 5; count += 1)
    clients.push(await RawClient.connect(t, server.inferenceUrl))
  for (const client of clients) client.read()
  // One process closes the last one. With several, each has a part, and any may be full first.
  const candidates = httpProcesses > 1 ? clients : clients.slice(-1)
  const ended = candidates.map(async (client) => {
    await client.ended
    return client.text
  })
  assert.equal(await Promise.race(ended), '')
  await until(() =>
    server.logLines.some(({ msg }) => String(msg).includes('maximum number of connections')),
  )
  assert.equal((await server.manage('/ping')).status, 200)
  for (const { socket } of clients) socket.destroy()
  await until(() => isServed(`${server.inferenceUrl}/ping`))
})

async function isServed(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { headers: { connection: 'close' } })
    await answer.arrayBuffer()
    return answer.status === 200
  } catch {
    return false
  }
}

/** What a client can send before it falls silent with its side open. */
const BEGINNINGS: readonly [what: string, text: string, status: number | undefined][] = [
  ['nothing', '', 408],
  ['half of a head', 'POST /predictions/iris HTTP/1.1\r\nHost: x\r\n', 408],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 400],
  [
    'headers that are too large',
    `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`,
    431,
  ],
  [
    'half of a body',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx',
    408,
  ],
  [
    'a chunk that is none',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n',
    400,
  ],
  [
    'a form that stops',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 99\r\n\r\n--b',
    408,
  ],
  [
    'a body that is too large',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n',
    413,
  ],
  ['a path that is unknown', 'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n', 404],
  ['no host', 'GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', 404],
]

/** A server that may open so many files and no more. */
function startWithFiles(t: TestContext, files: number, ...flags: string[]): Promise<TestServer> {
  const limited = `ulimit -n ${files} && exec "$@"`
  const ports = ['--port=0', '--management-port=0', '--stop-delay=0', '--log-level=error']
  const command = ['sh', '-c', limited, 'sh', process.execPath, CLI] as const
  return start(t, [iris, ...ports, ...flags], { command })
}

test('N03 E1 every connection that is refused is given back, even if the client keeps its side open', async (t) => {
  const timeouts = ['--headers-timeout=1', '--body-timeout=1']
  const server = await startWithFiles(t, 256, ...timeouts)
  const { pid, inferenceUrl, managementUrl } = server
  assert.ok((await isServed(`${inferenceUrl}/ping`)) && (await isServed(`${managementUrl}/ping`)))
  const before = openFiles(pid)
  await Promise.all(
    BEGINNINGS.flatMap(([what, text, status]) =>
      [inferenceUrl, managementUrl].map(async (url) => {
        const client = await RawClient.connect(t, url)
        client.read()
        await client.write(text)
        await client.ended
        if (url === inferenceUrl) assert.deepEqual(client.statuses, [status], what)
        else assert.equal(client.statuses.length, 1, what)
        assert.match(client.text, /\r\n\r\n\{/, `${what}: the response has a body`)
      }),
    ),
  )
  await until(() => openFiles(pid) <= before, 15_000)
})

test(
  'N03 E1 hundreds of silent, broken and rejected connections to a server of 256 files shut nobody out',
  { timeout: 120_000 },
  async (t) => {
    const files = 256
    const count = size(200, 600)
    const seconds = size(2, 5)
    const server = await startWithFiles(t, files, `--headers-timeout=${seconds}`)
    const { pid, inferenceUrl, managementUrl } = server
    const isReached = async (): Promise<boolean> =>
      (await isServed(`${inferenceUrl}/ping`)) && (await isServed(`${managementUrl}/ping`))
    assert.ok(await isReached())
    const before = openFiles(pid)
    const startedAt = performance.now()
    const clients: RawClient[] = []
    for (let number = 0; number < count; number += 1) {
      // Silent ones fill the listener of clients first; the others stand for all that goes wrong.
      const isSilent = number < count / 2
      const [, text = ''] = isSilent ? [] : (BEGINNINGS[number % BEGINNINGS.length] ?? [])
      const isManagement = !isSilent && number % 2 === 0
      const client = await RawClient.connect(t, isManagement ? managementUrl : inferenceUrl)
      clients.push(client)
      client.socket.write(text)
      if (number === count / 2) {
        // The other listener has connections of its own.
        assert.ok(await isServed(`${managementUrl}/ping`))
      }
    }
    const most = openFiles(pid)
    for (const client of clients) client.read()
    assert.ok(most < files * 0.8 * httpProcesses, `${most} files`)
    await until(isReached, 15_000)
    await until(() => openFiles(pid) <= before || performance.now() - startedAt > 15_000)
    const left = Math.max(0, openFiles(pid) - before)
    reportFigure(t, {
      what: 'descriptors held by 600 silent, broken or rejected connections after 15 s',
      goal: '0 beyond the limit',
      seen: `${left}, ${most} of ${files} at most`,
      isMet: left === 0,
    })
    assert.ok(left <= 2, `${left} descriptors`)
    assert.ok(await isReached())
  },
)

/** A connection that a test reads itself. */
class Client {
  readonly socket: Socket
  text = ''
  isClosed = false

  constructor(t: TestContext, { inferenceUrl }: TestServer) {
    const { hostname, port } = new URL(inferenceUrl)
    this.socket = connect(Number(port), hostname)
    this.socket.on('error', () => {})
    this.socket.on('close', () => (this.isClosed = true))
    t.after(() => this.socket.destroy())
  }

  /** Sends the head of a request and the first bytes of its body. */
  post(contentLength: number, body: Buffer, headers = ''): void {
    const beginning = `POST /predictions/tool HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n${headers}`
    this.socket.write(`${beginning}Content-Length: ${contentLength}\r\n\r\n`)
    this.socket.write(body)
  }

  read(): void {
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')))
  }

  get status(): number | undefined {
    const [, status] = /^HTTP\/1\.1 (\d+)/.exec(this.text) ?? []
    return status === undefined ? undefined : Number(status)
  }
}

const echo = async (server: TestServer): Promise<number> => {
  const headers = { 'content-type': 'text/plain' }
  const answer = await server.fetch('/predictions/tool', {
    method: 'POST',
    body: 'echo:x',
    headers,
  })
  await answer.text()
  return answer.status
}

test('N05 E6 bodies that do not end are held up to the budget, the rest gets 503', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    memoryBudgetMib: 64,
  })
  const before = memoryOf(server.pid).now / MIB
  const clients = Array.from({ length: 20 }, () => new Client(t, server))
  const part = Buffer.alloc(20 * MIB)
  for (const client of clients) {
    client.read()
    client.post(60 * MIB, part)
  }
  await until(() => clients.filter(({ status }) => status === 503).length >= 15)
  const refused = clients.find(({ status }) => status === 503)
  assert.match(refused?.text ?? '', /retry-after: 1\r\n/i)
  assert.match(refused?.text ?? '', /exceed the memory limit of the server/)
  const grown = memoryOf(server.pid).now / MIB - before
  assert.ok(grown < 64 + 150, `${Math.round(grown)} MiB for a budget of 64 MiB`)
  for (const { socket } of clients) socket.destroy()
  // What they held is let go, and nothing else was.
  await until(async () => (await echo(server)) === 200)
  const postLarge = async (): Promise<number | undefined> => {
    const client = new Client(t, server)
    client.read()
    client.post(40 * MIB, Buffer.alloc(40 * MIB), 'x-echo: bytes\r\n')
    await until(() => client.status)
    client.socket.destroy()
    return client.status
  }
  // The server hears of one closed connection after the other.
  await until(async () => (await postLarge()) === 200)
  for (let round = 0; round < 2; round += 1) assert.equal(await postLarge(), 200)
})

test(
  'N05 E6 responses that nobody reads are held up to the budget, and cut off',
  { skip: oneProcess('its part of the memory budget') },
  async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool')], {
      allowHandlers: true,
      memoryBudgetMib: 96,
      writeTimeout: 3,
    })
    const clients: Client[] = []
    for (let count = 0; count < 8; count += 1) {
      const client = new Client(t, server)
      client.post(32 * MIB, Buffer.alloc(32 * MIB), 'x-echo: bytes\r\n')
      clients.push(client)
    }
    // A client that does not read does not see the end of its connection either.
    await server.logged(({ msg }) => /the client did not read the response/.test(String(msg)))
    const before = memoryOf(server.pid).now / MIB
    for (const client of clients) client.read()
    await until(() => clients.every(({ isClosed, status }) => isClosed || status === 503))
    const whole = clients.filter(({ text }) => text.length > 32 * MIB)
    assert.deepEqual(whole, [], 'no response is left over')
    assert.ok(before < 400, `${Math.round(before)} MiB`)
    await until(async () => (await echo(server)) === 200)
  },
)

test('N05 a client that reads slowly gets its whole response', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    writeTimeout: 1,
    drainTimeout: 60,
  })
  const client = new Client(t, server)
  client.post(24 * MIB, Buffer.alloc(24 * MIB), 'x-echo: bytes\r\nConnection: close\r\n')
  let bytes = 0
  let beginning = ''
  client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (beginning === '') beginning = chunk.toString('latin1').slice(0, 500)
    client.socket.pause()
    setTimeout(() => client.socket.resume(), 10)
  })
  await until(() => client.isClosed, 60_000)
  assert.ok(bytes > 24 * MIB, `${bytes} bytes: ${beginning}`)
})

test(
  'N05 unfinished bodies and unread responses together stay within the memory budget',
  { timeout: 600_000 },
  async (t) => {
    const budgetMib = size(64, 512)
    const server = await serve(t, [handlerModel(t, 'tool'), largeModel(t)], {
      allowHandlers: true,
      memoryBudgetMib: budgetMib,
      bodyTimeout: 60,
      drainTimeout: 1,
      logLevel: 'error',
    })
    assert.equal(await echo(server), 200)
    forgetPeak(server.pid)
    const before = memoryOf(server.pid).now
    const clients: Client[] = []
    const add = (): Client => {
      const client = new Client(t, server)
      clients.push(client)
      return client
    }
    for (let count = 0; count < size(3, 100); count += 1) add().socket.write(largeRequest(32 * MIB))
    const part = Buffer.alloc(59 * MIB)
    for (let count = 0; count < size(10, 300); count += 1) {
      const client = add()
      client.read()
      client.post(60 * MIB, part)
      // One after the other, so that the sockets' own buffers do not fill the machine.
      await until(() => client.status === 503 || client.socket.writableLength === 0)
      if (client.status === 503) client.socket.destroy()
    }
    const grown = (memoryOf(server.pid).peak - before) / MIB
    reportFigure(t, {
      what: 'memory with 300 unfinished bodies of 60 MiB and 100 unread responses of 32 MiB',
      goal: '≤ memory budget',
      seen: `${grown.toFixed(0)} MiB for a budget of ${budgetMib} MiB`,
      isMet: grown <= budgetMib,
    })
    // One request may exceed a small budget by its own size.
    assert.ok(grown < budgetMib + size(250, 100), `${grown} MiB`)
    for (const { socket } of clients) socket.destroy()
    await until(async () => (await echo(server)) === 200)
  },
)
