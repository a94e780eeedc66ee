/** Hostile URLs and hostile origins, through `POST /models` of a running server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { modelNames } from '../helpers/observe.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const network = readFileSync(path.resolve('examples/iris/model.onnx'))

interface Canary {
  readonly port: number
  readonly origin: string
  connections(): number
}

/** A server on loopback that counts its connections. */
async function canary(t: TestContext, server: Server): Promise<Canary> {
  const sockets = new Set<Socket>()
  let count = 0
  server.on('connection', (socket: Socket) => {
    count += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, origin: `http://127.0.0.1:${port}`, connections: () => count }
}

const origin = (t: TestContext, answer: RequestListener): Promise<Canary> =>
  canary(t, createServer(answer))
const handsOut: RequestListener = (_request, response) => response.end(network)

async function register(
  server: TestServer,
  url: string,
): Promise<{ status: number; message: string }> {
  const answer = await server.manage('/models', {
    method: 'POST',
    body: JSON.stringify({ url }),
    headers: { 'content-type': 'application/json' },
  })
  const { message = '' } = (await json(answer)) as { message?: string }
  return { status: answer.status, message }
}

async function assertRefused(
  server: TestServer,
  urls: readonly string[],
  statuses: readonly number[] = [400, 403],
): Promise<void> {
  for (const url of urls) {
    const { status, message } = await register(server, url)
    assert.ok(statuses.includes(status), `${JSON.stringify(url)}: ${status} ${message}`)
  }
  assert.deepEqual(await modelNames(server), [])
}

const stored = (state: string): string[] =>
  existsSync(path.join(state, 'models')) ? readdirSync(path.join(state, 'models')) : []

test('S01: no address of this machine or of a private network is connected to, in any notation', async (t) => {
  const { port, connections } = await origin(t, handsOut)
  const hosts = (
    '127.0.0.1 127.1 0x7f.1 2130706433 017700000001 0 localhost localhost. [::1] [::ffff:127.0.0.1] ' +
    '[::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] 169.254.169.254 [fd00:ec2::254] 100.100.100.200 ' +
    '10.1.2.3 192.168.1.1 ①②⑦.⓪.⓪.①'
  ).split(' ')
  const origins = hosts.map((host) => new URL(`http://${host}:${port}`).origin)
  // Every one is listed, so that nothing but its address can be what is refused.
  const server = await serve(t, [], { allowedOrigins: origins })
  await assertRefused(
    server,
    hosts.map((host) => `http://${host}:${port}/x.onnx`),
  )
  await assertRefused(server, ['http://metadata.google.internal/computeMetadata/v1/'])
  assert.equal(connections(), 0)
})

test('S02: what is no plain http or https URL is refused', async (t) => {
  const { port, connections } = await origin(t, handsOut)
  const server = await serve(t, [], {
    allowedOrigins: [`http://127.0.0.1:${port}`, `http://allowed.example:${port}`],
    allowPrivateAddresses: true,
  })
  await assertRefused(server, [
    'file:///etc/passwd',
    'FILE:/etc/passwd',
    'data:application/octet-stream;base64,AAAA',
    `ftp://127.0.0.1:${port}/x.onnx`,
    `gopher://127.0.0.1:${port}/x.onnx`,
    'unix:/var/run/docker.sock',
    `//127.0.0.1:${port}/x.onnx`,
    `http:127.0.0.1:${port}/x.onnx`,
    `\thttp://127.0.0.1:${port}/x.onnx`,
    `ht\ntp://127.0.0.1:${port}/x.onnx`,
    `http://127.0.0.1:${port}\\@allowed.example/x.onnx`,
    `http://allowed.example@127.0.0.1:${port}/x.onnx`,
    `http://allowed.example.evil.example:${port}/x.onnx`,
    `http://allowed.example%2f@127.0.0.1:${port}/x.onnx`,
    `http://user:password@127.0.0.1:${port}/x.onnx`,
  ])
  assert.equal(connections(), 0)
})

test('S03: an origin is scheme, host and port, exactly', async (t) => {
  const { port, connections, origin: allowed } = await origin(t, handsOut)
  const server = await serve(t, [], { allowedOrigins: [allowed], allowPrivateAddresses: true })
  await assertRefused(
    server,
    [
      `http://127.0.0.1:${port + 1}/x.onnx`,
      `http://127.0.0.1/x.onnx`,
      `https://127.0.0.1:${port}/x.onnx`,
      `http://sub.127.0.0.1.example:${port}/x.onnx`,
      `http://localhost:${port}/x.onnx`,
      `http://127.0.0.2:${port}/x.onnx`,
    ],
    [403, 400],
  )
  assert.equal(connections(), 0)
  assert.equal((await register(server, `HTTP://127.0.0.1:${port}/x.onnx`)).status, 200)
})

test('S04: redirects are not followed', async (t) => {
  const target = await origin(t, handsOut)
  let asked = 0
  const { origin: allowed } = await origin(t, (request, response) => {
    asked += 1
    const location = new URLSearchParams(request.url?.split('?')[1]).get('to')
    response.writeHead(302, location === null ? {} : { location }).end()
  })
  const server = await serve(t, [], { allowedOrigins: [allowed], allowPrivateAddresses: true })
  const to = (location: string): string => `${allowed}/x.onnx?to=${encodeURIComponent(location)}`
  const urls = [
    to(`${target.origin}/x.onnx`),
    to('file:///etc/passwd'),
    to(`${allowed}/again`),
    to(`https://127.0.0.1:${target.port}/x.onnx`),
    `${allowed}/x.onnx`,
  ]
  await assertRefused(server, urls, [400])
  assert.equal(asked, urls.length, 'once for each, and never again')
  assert.equal(target.connections(), 0)
})

/** Answers of a resolver that lies: each host's lists of addresses, the last one again and again. */
type Resolutions = Readonly<Record<string, readonly (readonly string[])[]>>

/** Replaces the resolver of a server. It notes each host that it is asked for. */
function lyingResolver(
  t: TestContext,
  resolutions: Resolutions,
): { environment: NodeJS.ProcessEnv; resolved(): string[] } {
  const folder = temporaryFolder(t)
  const notes = path.join(folder, 'notes')
  const program = path.join(folder, 'resolver.mjs')
  writeFileSync(notes, '')
  writeFileSync(
    program,
    `import { promises as dns } from 'node:dns'
    import { appendFileSync } from 'node:fs'
    const resolutions = ${JSON.stringify(resolutions)}
    dns.lookup = async (host) => {
      appendFileSync(${JSON.stringify(notes)}, host + '\\n')
      const lists = resolutions[host] ?? []
      const addresses = (lists.length > 1 ? lists.shift() : lists[0]) ?? []
      return addresses.map((address) => ({ address, family: 4 }))
    }`,
  )
  return {
    environment: { NODE_OPTIONS: `--import=${pathToFileURL(program).href}` },
    resolved: () => readFileSync(notes, 'utf8').split('\n').filter(Boolean),
  }
}

test('S05: a name that leads to a private address, among others or the second time, is not connected to', async (t) => {
  const { port, connections } = await origin(t, handsOut)
  const { environment, resolved } = lyingResolver(t, {
    'both.example': [['8.8.8.8', '127.0.0.1']],
    'local.example': [['127.0.0.1']],
    // Who looks a second time finds a public address.
    'rebind.example': [['127.0.0.1'], ['8.8.8.8']],
  })
  const names = ['both.example', 'local.example', 'rebind.example']
  const allowedOrigins = names.map((name) => `http://${name}:${port}`)
  const server = await serve(t, [], { allowedOrigins, downloadTimeout: 2 }, { environment })
  await assertRefused(
    server,
    names.map((name) => `http://${name}:${port}/x.onnx`),
    [403],
  )
  assert.deepEqual(resolved(), names, 'each name is resolved once, for the connection itself')
  assert.equal(connections(), 0)
})

/** Everything that an origin may do wrong, by its path. */
const MISDEEDS: Record<string, (socket: Socket) => void> = {
  endless: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    const push = (): void => {
      while (!socket.destroyed && socket.write(chunk)) {
        // Until the other side has enough.
      }
    }
    socket.on('drain', push)
    push()
  },
  slow: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    const timer = setInterval(() => socket.write('x'), 100)
    socket.on('close', () => clearInterval(timer))
  },
  short: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxxxxx'),
  huge: (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nxxxxx'),
  html: (socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>'),
  absent: (socket) => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'),
  broken: (socket) => socket.end('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'),
  gzip: (socket) => {
    const body = gzipSync(Buffer.alloc(10_000_000))
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
    socket.end(Buffer.concat([Buffer.from(head), body]))
  },
  nested: (socket) =>
    socket.end(
      `HTTP/1.1 200 OK\r\n${'Content-Encoding: gzip\r\n'.repeat(100)}Content-Length: 1\r\n\r\nx`,
    ),
  headers: (socket) =>
    socket.end(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(65_536)}\r\nContent-Length: 1\r\n\r\nx`),
  midway: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxxxxx', () => socket.destroy())
  },
  unmeasured: (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nxxxxx'),
  silent: () => {},
}

test('S06: an origin that misbehaves costs its registration and nothing else', async (t) => {
  const { origin: allowed } = await canary(
    t,
    createTcpServer((socket) => {
      socket.once('data', (request: Buffer) => {
        const [, name = ''] = /^GET \/(\w+)/.exec(request.toString()) ?? []
        MISDEEDS[name]?.(socket)
      })
    }),
  )
  const state = temporaryFolder(t)
  const server = await serve(t, [], {
    allowedOrigins: [allowed],
    allowPrivateAddresses: true,
    stateDir: state,
    maxModelBytes: 1_000_000,
    downloadTimeout: 1,
  })
  for (const name of Object.keys(MISDEEDS)) {
    const { status, message } = await register(server, `${allowed}/${name}.onnx`)
    assert.ok([400, 413, 504].includes(status), `${name}: ${status} ${message}`)
    if (['slow', 'silent'].includes(name)) assert.equal(status, 504, name)
    if (['endless', 'huge'].includes(name)) assert.equal(status, 413, name)
    await until(() => stored(state).length === 0)
  }
  assert.deepEqual(await modelNames(server), [])
})

test('S07: what an origin calls its file decides nothing about where it is stored', async (t) => {
  const { origin: allowed } = await origin(t, (_request, response) => {
    response.setHeader('etag', '"../../evil"')
    response.setHeader('content-disposition', 'attachment; filename=../../x.onnx')
    response.end(network)
  })
  const state = temporaryFolder(t)
  const server = await serve(t, [], {
    allowedOrigins: [allowed],
    allowPrivateAddresses: true,
    stateDir: state,
  })
  assert.equal((await register(server, `${allowed}/..%2f..%2fx.onnx`)).status, 200)
  const [folder = '', ...others] = stored(state)
  assert.deepEqual(others, [])
  assert.match(folder, /^[0-9a-f-]{36}$/)
  const [file = ''] = readdirSync(path.join(state, 'models', folder))
  assert.match(file, /^download-[0-9a-f-]{36}\.onnx$/)
  assert.deepEqual(await modelNames(server), ['x'])
})
