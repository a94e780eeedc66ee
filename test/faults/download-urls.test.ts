/** Block S, first half: models that are registered by the URL of another machine. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { createServer as createTcpServer } from 'node:net'
import type { Socket } from 'node:net'
import path from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { modelNames } from '../helpers/observe.ts'
import { temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { assertError, assertUnharmed, block, heldBy, size, startLaboratory } from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'
import { httpOrigin, httpsOrigin, listen, lyingResolver } from './origins.ts'

const model = readFileSync(path.resolve('examples/iris/model.onnx'))
/** An URL is refused within this time, also on a machine that is busy. */
const REFUSAL_MS = 2000
const DOWNLOAD_SECONDS = 2

// The origins have to be known before the server of the block starts.
const cleanups: (() => unknown)[] = []
const file: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
const state = temporaryFolder(file)

/** Hands out the model. No row but S03 may reach it by an address that it should not. */
const good = await httpOrigin(file, (_request, response) => response.end(model))
/** Redirects to the `to` of the query. */
const redirecting = await httpOrigin(file, (request, response) => {
  const target = new URLSearchParams(request.url?.split('?')[1]).get('to')
  response.writeHead(302, target === null ? {} : { location: target }).end()
})
const SECURE_HOST = 'secure.example'
const secure = await httpsOrigin(file, SECURE_HOST, (_request, response) => {
  response.writeHead(302, { location: `${good.url}/x.onnx` }).end()
})
const bad = await listen(
  file,
  createTcpServer((socket) => {
    socket.once('data', (request: Buffer) => {
      const [, name = ''] = /^GET \/(\w+)/.exec(request.toString()) ?? []
      MISDEEDS[name]?.(socket)
    })
  }),
)
const liar = await httpOrigin(file, (_request, response) => {
  response.setHeader('etag', '"../../evil"')
  response.setHeader('content-disposition', 'attachment; filename=../../x.onnx')
  response.end(model)
})
const NAMED_HOST = 'allowed.example'
const { environment } = lyingResolver(file, {
  [NAMED_HOST]: [['127.0.0.1']],
  [SECURE_HOST]: [['127.0.0.1']],
})

const row = block({
  settings: {
    allowedOrigins: [
      good.url,
      redirecting.url,
      bad.url,
      liar.url,
      `http://${NAMED_HOST}:${good.port}`,
      ...(secure === undefined ? [] : [`https://${SECURE_HOST}:${secure.port}`]),
    ],
    allowPrivateAddresses: true,
    stateDir: state,
    downloadTimeout: DOWNLOAD_SECONDS,
    // So small that it arrives in time on a busy machine.
    maxModelBytes: 8 << 20,
  },
  environment: {
    ...environment,
    ...(secure !== undefined && { NODE_EXTRA_CA_CERTS: secure.certificate }),
  },
})
// After the block has closed its server.
after(() => cleanups.toReversed().forEach((run) => run()))

const registerUrl = (server: Laboratory, url: string): Promise<Answer> =>
  server.call('POST', `/models?${new URLSearchParams({ url }).toString()}`)

/** Every URL is refused with one of the statuses, in the query and in JSON, and soon. */
async function assertRefused(
  server: Laboratory,
  urls: readonly string[],
  statuses: readonly number[],
): Promise<void> {
  for (const url of urls) {
    const startedAt = performance.now()
    const inQuery = await registerUrl(server, url)
    assert.ok(performance.now() - startedAt < REFUSAL_MS, JSON.stringify(url))
    const inJson = await server.manage('/models', {
      method: 'POST',
      body: JSON.stringify({ url }),
      headers: { 'content-type': 'application/json' },
    })
    // The error may show the URL that the client has sent.
    assertError({ ...inQuery, text: inQuery.text.replaceAll(url, '') }, ...statuses)
    assert.equal(inJson.status, inQuery.status, url)
    assert.equal(await inJson.text(), inQuery.text)
  }
  assert.deepEqual(await modelNames(server), ['reference'])
}

/** Folders of models that came over the network. */
const stored = (folder = state): string[] =>
  existsSync(path.join(folder, 'models')) ? readdirSync(path.join(folder, 'models')) : []

test('S01 no address of this machine or of a private network is connected to, in any notation', async (t) => {
  const canary = await httpOrigin(t, (_request, response) => response.end(model))
  const hosts = (
    '127.0.0.1 127.1 0x7f.1 2130706433 017700000001 0 localhost localhost. [::1] [::ffff:127.0.0.1] ' +
    '[::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] 169.254.169.254 [fd00:ec2::254] 100.100.100.200 ' +
    '10.1.2.3 192.168.1.1 ①②⑦.⓪.⓪.① metadata.google.internal ' +
    // More of the same kind.
    '172.31.255.254 0x7f000001 127.0.0.1. 0177.0.0.01 [::ffff:7f00:1] [fe80::1] [::] 224.0.0.1 ' +
    '255.255.255.255 192.0.0.192 [::ffff:169.254.169.254]'
  ).split(' ')
  const loopback = lyingResolver(t, {
    localhost: [['127.0.0.1']],
    'localhost.': [['127.0.0.1']],
    'metadata.google.internal': [['169.254.169.254']],
  })
  // Every one is listed, so that nothing but its address can be what is refused.
  const allowedOrigins = hosts.map((host) => new URL(`http://${host}:${canary.port}`).origin)
  const server = await startLaboratory(t, {
    settings: { allowedOrigins },
    environment: loopback.environment,
  })
  const before = heldBy(server)
  const urls = hosts.map((host) => `http://${host}:${canary.port}/x.onnx`)
  await assertRefused(server, urls, [403])
  // None of these origins is listed.
  await assertRefused(server, ['http://metadata.google.internal/computeMetadata/v1/'], [403])
  await assertRefused(
    server,
    hosts.map((host) => `http://${host}/x.onnx`),
    [403],
  )
  assert.equal(canary.connections(), 0)
  await assertUnharmed(server, before)
})

row('S02', 'only a plain http or https URL is downloaded', async (server) => {
  const { port, url } = good
  const before = good.connections()
  await assertRefused(
    server,
    [
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
      `http://127.0.0.1:${port}\\@${NAMED_HOST}/x.onnx`,
      `http://evil.example\\@127.0.0.1:${port}/x.onnx`,
      `http://${NAMED_HOST}@127.0.0.1:${port}/x.onnx`,
      `http://${NAMED_HOST}@evil.example:${port}/x.onnx`,
      `http://${NAMED_HOST}.evil.example:${port}/x.onnx`,
      `http://${NAMED_HOST}%2f@127.0.0.1:${port}/x.onnx`,
      `http://user:password@127.0.0.1:${port}/x.onnx`,
      // More of the same kind.
      `http:///127.0.0.1:${port}/x.onnx`,
      `http:\\\\127.0.0.1:${port}\\x.onnx`,
      `${url}/x.onnx\0`,
      ` ${url}/x.onnx`,
      `ws://127.0.0.1:${port}/x.onnx`,
      `blob:${url}/x.onnx`,
      `jar:${url}/x.onnx!/y`,
      `s3://bucket/x.onnx`,
      'javascript:0',
    ],
    [400, 403],
  )
  assert.equal(good.connections(), before)
})

row('S03', 'an origin is scheme, host and port, exactly', async (server) => {
  const { port } = good
  const before = good.connections()
  await assertRefused(
    server,
    [
      `http://127.0.0.1:${port + 1}/x.onnx`,
      `http://127.0.0.1/x.onnx`,
      `https://127.0.0.1:${port}/x.onnx`,
      `http://sub.${NAMED_HOST}:${port}/x.onnx`,
      `http://${NAMED_HOST}.:${port}/x.onnx`,
      `http://${NAMED_HOST}/x.onnx`,
      `https://${NAMED_HOST}:${port}/x.onnx`,
      `http://localhost:${port}/x.onnx`,
      `http://127.0.0.2:${port}/x.onnx`,
      `http://x${NAMED_HOST}:${port}/x.onnx`,
    ],
    [403],
  )
  assert.equal(good.connections(), before)
  // The same origins, written otherwise.
  for (const url of [
    `HTTP://127.0.0.1:${port}/x.onnx`,
    `http://127.0.0.1.:${port}/x.onnx`,
    `http://ALLOWED.Example:${port}/x.onnx`,
    `http://127.0.0.1:0${port}/x.onnx`,
  ]) {
    const answer = await registerUrl(server, url)
    assert.equal(answer.status, 200, `${url}: ${answer.text}`)
    await server.unregister('x')
  }
})

row('S04', 'redirects are not followed', async (server) => {
  const to = (target: string): string =>
    `${redirecting.url}/x.onnx?to=${encodeURIComponent(target)}`
  const before = [good.connections(), bad.connections(), redirecting.connections()]
  const urls = [
    to(`${good.url}/x.onnx`),
    to('file:///etc/passwd'),
    to(`${bad.url}/endless.onnx`),
    to(`${redirecting.url}/again`),
    to('/again'),
    to(`https://127.0.0.1:${good.port}/x.onnx`),
    to('//127.0.0.1/x.onnx'),
    to(''),
    `${redirecting.url}/x.onnx`,
    ...Array.from({ length: 20 }, () => to(`${redirecting.url}/x.onnx`)),
  ]
  for (const url of urls) assertError(await registerUrl(server, url), 400)
  if (secure !== undefined) {
    const answer = await registerUrl(server, `https://${SECURE_HOST}:${secure.port}/x.onnx`)
    assertError(answer, 400)
    assert.match(answer.text, /code: 302 \(redirects are not followed\)/)
  }
  assert.deepEqual(
    [good.connections(), bad.connections(), redirecting.connections()],
    [before[0], before[1], (before[2] ?? 0) + urls.length],
    'once for each URL, and never again',
  )
})

test('S05 a name that leads to a private address, among others or the second time, is not connected to', async (t) => {
  const canary = await httpOrigin(t, (_request, response) => response.end(model))
  const resolver = lyingResolver(t, {
    'both.example': [['8.8.8.8', '127.0.0.1']],
    'mixed.example': [['2606:4700::1111', '::1']],
    'mapped.example': [['::ffff:127.0.0.1']],
    'local.example': [['127.0.0.1']],
    // Who looks a second time finds a public address.
    'rebind.example': [['127.0.0.1'], ['8.8.8.8']],
    // Who looks a second time finds a private one. Nothing is at the first: no network has it.
    'flip.example': [['3ffe::1'], ['127.0.0.1']],
    'nothing.example': [[]],
  })
  const names = 'both mixed mapped local rebind'.split(' ').map((name) => `${name}.example`)
  const others = ['flip.example', 'nothing.example']
  const url = (name: string): string => `http://${name}:${canary.port}/x.onnx`
  const server = await startLaboratory(t, {
    settings: {
      allowedOrigins: [...names, ...others].map((name) => new URL(url(name)).origin),
      downloadTimeout: 1,
    },
    environment: resolver.environment,
  })
  const before = heldBy(server)
  for (const name of names) assertError(await registerUrl(server, url(name)), 403)
  assertError(await registerUrl(server, url('flip.example')), 400, 504)
  assertError(await registerUrl(server, url('nothing.example')), 400)
  assert.deepEqual(
    resolver.resolved(),
    [...names, ...others],
    'each name is resolved once, for the connection itself',
  )
  assertError(await registerUrl(server, url('flip.example')), 403)
  assert.equal(canary.connections(), 0)
  await assertUnharmed(server, before)
})

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

/** Writes the same again until the other side has enough, `limit` bytes at most. */
function pour(socket: Socket, head: string, chunk: string | Buffer, limit: number): void {
  let sent = 0
  const push = (): void => {
    while (!socket.destroyed && sent < limit) {
      sent += chunk.length
      if (!socket.write(chunk)) return
    }
  }
  socket.on('drain', push)
  socket.write(head)
  push()
}

/** Writes one byte again and again. */
function drip(socket: Socket, head: string, byte: string): void {
  socket.write(head)
  const timer = setInterval(() => socket.write(byte), 100)
  socket.on('close', () => clearInterval(timer))
}

/** Everything that an origin may do wrong, by its path. */
const MISDEEDS: Readonly<Record<string, (socket: Socket) => void>> = {
  endless: (socket) =>
    pour(socket, CHUNKED, `10000\r\n${'x'.repeat(65_536)}\r\n`, Number.POSITIVE_INFINITY),
  slow: (socket) => drip(socket, `${OK}Content-Length: 1000\r\n\r\n`, 'x'),
  short: (socket) => socket.end(`${OK}Content-Length: 10\r\n\r\nxxxxx`),
  long: (socket) => pour(socket, `${OK}Content-Length: 10\r\n\r\n`, Buffer.alloc(65_536), 1e9),
  huge: (socket) => socket.write(`${OK}Content-Length: 1000000000\r\n\r\nxxxxx`),
  html: (socket) => socket.end(`${OK}Content-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>`),
  absent: (socket) => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'),
  broken: (socket) => socket.end('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'),
  gzip: (socket) => {
    const body = gzipSync(Buffer.alloc(10_000_000))
    const head = `${OK}Content-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
    socket.end(Buffer.concat([Buffer.from(head), body]))
  },
  nested: (socket) =>
    socket.end(`${OK}${'Content-Encoding: gzip\r\n'.repeat(100)}Content-Length: 1\r\n\r\nx`),
  nestedDeeper: (socket) =>
    socket.end(`${OK}${'Content-Encoding: gzip\r\n'.repeat(1000)}Content-Length: 1\r\n\r\nx`),
  headers: (socket) => socket.end(`${OK}X: ${'y'.repeat(65_536)}\r\nContent-Length: 1\r\n\r\nx`),
  midway: (socket) => {
    socket.write(`${OK}Content-Length: 1000\r\n\r\nxxxxx`, () => socket.destroy())
  },
  reset: (socket) => {
    socket.write(`${OK}Content-Length: 1000\r\n\r\nxxxxx`, () => socket.resetAndDestroy())
  },
  unmeasured: (socket) => socket.end(`${OK}\r\nxxxxx`),
  silent: () => {},
  // More of the same kind.
  slowHeaders: (socket) => drip(socket, `${OK}X: `, 'y'),
  endlessHeaders: (socket) => pour(socket, OK, 'X: y\r\n', 1e8),
  endlessChunkSize: (socket) => pour(socket, CHUNKED, '0', 1e8),
  chunkExtension: (socket) => pour(socket, `${CHUNKED}1;`, 'e'.repeat(65_536), 1e8),
  endlessTrailers: (socket) => pour(socket, `${CHUNKED}0\r\n`, 'X: y\r\n', 1e8),
  informational: (socket) => pour(socket, '', 'HTTP/1.1 102 Processing\r\n\r\n', 1e7),
  twoLengths: (socket) => socket.end(`${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx`),
  lengthAndChunks: (socket) =>
    socket.end(`${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  negative: (socket) => socket.end(`${OK}Content-Length: -5\r\n\r\nxxxxx`),
  noHttp: (socket) => socket.end('SSH-2.0-OpenSSH\r\n'),
  nothing: (socket) => socket.end(),
}
const TOO_SLOW = new Set(['slow', 'silent', 'slowHeaders'])
const TOO_LARGE = new Set(['endless', 'huge'])

row('S06', 'an origin that misbehaves costs its registration and nothing else', async (server) => {
  await Promise.all(
    // Two at a time are let in.
    [0, 1].map(async (half) => {
      const names = Object.keys(MISDEEDS).filter((_, index) => index % 2 === half)
      for (const name of names) {
        const startedAt = performance.now()
        const answer = await registerUrl(server, `${bad.url}/${name}.onnx`)
        const seconds = (performance.now() - startedAt) / 1000
        const expected = TOO_SLOW.has(name) ? [504] : TOO_LARGE.has(name) ? [413] : [400, 504]
        assert.ok(expected.includes(answer.status), `${name}: ${answer.status} ${answer.text}`)
        assertError(answer, ...expected)
        assert.ok(seconds < DOWNLOAD_SECONDS + 4, `${name} took ${seconds} s`)
      }
    }),
  )
  await until(() => bad.open() === 0 && stored().length === 0)
  assert.deepEqual(await modelNames(server), ['reference'])
})

row('S07', 'an origin has no say in where its file is stored', async (server) => {
  for (const location of ['/..%2f..%2fx.onnx', '/%2e%2e/%2e%2e/x.onnx', '/..%5c..%5cx.onnx']) {
    const answer = await registerUrl(server, liar.url + location)
    assert.equal(answer.status, 200, answer.text)
    const [folder = '', ...others] = stored()
    assert.deepEqual(others, [])
    assert.match(folder, /^[0-9a-f-]{36}$/)
    const files = readdirSync(path.join(state, 'models', folder))
    assert.equal(files.length, 1)
    assert.match(files[0] ?? '', /^download-[0-9a-f-]{36}\.onnx$/)
    assert.deepEqual(await modelNames(server), ['reference', 'x'])
    await server.unregister('x')
    await until(() => stored().length === 0)
  }
  assert.equal(existsSync(path.join(state, '..', 'x.onnx')), false)
})

test('S08 of ten downloads at once two run, within the limit of sizes, and the others get 503', async (t) => {
  const MIB = 2 ** 20
  const maxModelBytes = size(8, 100) * MIB
  let refused = 0
  const largest = await httpOrigin(t, (_request, response) => {
    const chunk = Buffer.alloc(MIB)
    let left = 1024
    const send = (): void => {
      while (left > 0 && !response.destroyed) {
        left -= 1
        if (!response.write(chunk)) return
      }
    }
    response.on('drain', send)
    // Both downloads are under way until the others have been refused.
    void until(() => refused === 8).then(send)
  })
  const folder = temporaryFolder(t)
  const server = await startLaboratory(t, {
    settings: {
      allowedOrigins: [largest.url],
      allowPrivateAddresses: true,
      stateDir: folder,
      maxModelBytes,
    },
  })
  const before = heldBy(server)
  const bytesStored = (): number =>
    stored(folder)
      .flatMap((name) => {
        const inside = path.join(folder, 'models', name)
        return readdirSync(inside).map((one) => statSync(path.join(inside, one)).size)
      })
      .reduce((sum, bytes) => sum + bytes, 0)
  let most = 0
  const timer = setInterval(() => {
    try {
      most = Math.max(most, bytesStored())
    } catch {
      // A folder went while it was looked at.
    }
  }, 2)
  t.after(() => clearInterval(timer))
  const answers = await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const answer = await registerUrl(server, `${largest.url}/m${index}.onnx`)
      if (answer.status === 503) refused += 1
      return answer
    }),
  )
  clearInterval(timer)
  for (const answer of answers) assertError(answer, 413, 503)
  const busy = answers.filter(({ status }) => status === 503)
  assert.equal(busy.length, 8)
  for (const { headers } of busy) assert.match(headers.get('retry-after') ?? '', /^\d+$/)
  assert.equal(largest.connections(), 2)
  assert.ok(most <= 2 * maxModelBytes, `${most} bytes on the disk`)
  t.diagnostic(`at most ${Math.round(most / MIB)} MiB on the disk`)
  await until(() => stored(folder).length === 0)
  await assertUnharmed(server, before)
})
