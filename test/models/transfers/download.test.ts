import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ServerError } from '../../../src/errors.ts'
import { parseOrigin } from '../../../src/http-url.ts'
import { guardedLookup, isPublicAddress } from '../../../src/models/transfers/address-guard.ts'
import { parseModelUrl } from '../../../src/models/transfers/download-url.ts'
import { downloadModel } from '../../../src/models/transfers/download.ts'
import type { DownloadOptions } from '../../../src/models/transfers/download.ts'
import { safeFileName } from '../../../src/models/transfers/file-name.ts'

interface Origin {
  readonly origin: string
  readonly port: number
  /** Connections so far. */
  connections(): number
}

/** A server on a loopback address that counts its connections. */
async function listen(t: TestContext, server: Server, host = '127.0.0.1'): Promise<Origin> {
  const sockets = new Set<Socket>()
  let count = 0
  server.on('connection', (socket: Socket) => {
    count += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, host)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const shownHost = host.includes(':') ? `[${host}]` : host
  return { origin: `http://${shownHost}:${port}`, port, connections: () => count }
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

function httpOrigin(t: TestContext, answer: Answer): Promise<Origin> {
  return listen(t, createServer(answer))
}

/** A server that answers every connection with the same bytes, then ends it or leaves it open. */
function rawOrigin(t: TestContext, talk: (socket: Socket) => void): Promise<Origin> {
  return listen(
    t,
    createTcpServer((socket) => {
      socket.once('data', () => talk(socket))
    }),
  )
}

function optionsFor(t: TestContext, changed: Partial<DownloadOptions> = {}): DownloadOptions {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-download-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return {
    allowedOrigins: [],
    allowPrivateAddresses: true,
    folder: path.join(folder, 'private'),
    maxBytes: 1_000_000,
    timeoutMs: 30_000,
    idleTimeoutMs: 30_000,
    ...changed,
  }
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

async function refusal(url: string, options: DownloadOptions, what = url): Promise<ServerError> {
  const outcome = await downloadModel(url, options).catch((error: unknown) => error)
  assert.ok(outcome instanceof ServerError, `expected a ServerError for ${what}`)
  assert.deepEqual(filesIn(options.folder), [], url)
  assert.ok(!outcome.message.includes(options.folder))
  return outcome
}

test('a model is downloaded into a private file under a name of our own', async (t) => {
  const weights = Buffer.alloc(300_000, 'weights')
  const sha256 = createHash('sha256').update(weights).digest('hex')
  const seen: IncomingMessage[] = []
  const { origin } = await httpOrigin(t, (request, response) => {
    seen.push(request)
    response.setHeader('etag', '"../../evil"')
    response.setHeader('content-disposition', 'attachment; filename=../../x')
    response.setHeader('content-length', weights.length)
    response.end(weights)
  })
  const progress: number[] = []
  const options = optionsFor(t, {
    allowedOrigins: ['https://other.example', origin],
    sha256: sha256.toUpperCase(),
    maxBytes: weights.length,
    onProgress: (bytes, total) => {
      assert.equal(total, weights.length)
      progress.push(bytes)
    },
  })
  const file = await downloadModel(`${origin}/m/digits.onnx?token=secret`, options)
  assert.equal(file.name, 'digits.onnx')
  assert.equal(file.sha256, sha256)
  assert.equal(file.bytes, weights.length)
  assert.equal(progress.at(-1), weights.length)
  assert.ok(readFileSync(file.path).equals(weights))
  assert.equal(path.dirname(file.path), options.folder)
  assert.match(path.basename(file.path), /^download-[0-9a-f-]{36}\.onnx$/)
  assert.equal(statSync(file.path).mode & 0o7777, 0o600)
  assert.equal(statSync(options.folder).mode & 0o7777, 0o700)
  const [request] = seen
  assert.equal(request?.url, '/m/digits.onnx?token=secret')
  assert.equal(request?.headers['accept-encoding'], 'identity')
  assert.equal(request?.headers.authorization, undefined)

  // Whatever a URL is called, the file lies in the folder.
  for (const [location, name, extension] of [
    ['/..%2f..%2fx.onnx', 'x.onnx', '.onnx'],
    ['/%2e%2e%5cx.tar.gz', 'x.tar.gz', '.tar.gz'],
    ['/', 'model', ''],
    ['/%00%0aa%1b.mar', 'a_.mar', '.mar'],
    ['/.%2e', 'model', ''],
    ['/%ff.onnx', 'ff.onnx', '.onnx'],
    [`/${'n'.repeat(500)}.onnx`, `${'n'.repeat(95)}.onnx`, '.onnx'],
  ] as const) {
    const other = await downloadModel(origin + location, { ...options, sha256: undefined })
    assert.equal(other.name, name)
    assert.equal(path.dirname(other.path), options.folder)
    assert.match(path.basename(other.path), new RegExp(`^download-[0-9a-f-]{36}${extension}$`))
  }
  assert.equal(filesIn(options.folder).length, 8)
})

test('no address of this machine or of a private network is connected to', async (t) => {
  const canary = await httpOrigin(t, (_, response) => response.end('secret'))
  const { port } = canary
  const hosts = [
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '2130706433',
    '017700000001',
    '0',
    '0.0.0.0',
    'localhost',
    'localhost.',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '[fd00:ec2::254]',
    '[fe80::1]',
    '100.100.100.200',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '①②⑦.⓪.⓪.①',
    '255.255.255.255',
    '[ff02::1]',
  ]
  for (const host of hosts) {
    const { origin } = new URL(`http://${host}:${port}`)
    const started = performance.now()
    const error = await refusal(`http://${host}:${port}/x.onnx`, {
      ...optionsFor(t, { allowPrivateAddresses: false }),
      allowedOrigins: [origin],
    })
    // Not every resolver knows this name, and some take their time.
    if (host === 'localhost.' && error.statusCode === 400) continue
    assert.equal(error.statusCode, 403, host)
    assert.match(error.message, /its IP address is not public/, host)
    assert.ok(performance.now() - started < 10_000, host)
  }
  // Without a list nothing is asked at all.
  for (const host of [...hosts, 'metadata.google.internal']) {
    const error = await refusal(`http://${host}:${port}/x.onnx`, optionsFor(t))
    assert.equal(error.statusCode, 403, host)
    assert.match(error.message, /--allowed-origins/, host)
  }
  assert.equal(canary.connections(), 0)
})

test('a name is resolved once, and rejected if one of its addresses is private', async (t) => {
  const canary = await httpOrigin(t, (_, response) => response.end('secret'))
  const url = `http://models.example:${canary.port}/x.onnx`
  const base = { allowedOrigins: [new URL(url).origin], allowPrivateAddresses: false }
  const loopback = { address: '127.0.0.1', family: 4 }
  const elsewhere = { address: '203.0.114.1', family: 4 }
  for (const answer of [[loopback], [elsewhere, loopback], [loopback, elsewhere]]) {
    const resolve = (): Promise<typeof answer> => Promise.resolve(answer)
    const error = await refusal(url, optionsFor(t, { ...base, resolve }))
    assert.equal(error.statusCode, 403)
  }
  assert.equal(canary.connections(), 0)

  // DNS rebinding: the download connects to the IP address that was checked, so the name is not
  // resolved a second time.
  let questions = 0
  const rebinding = (): Promise<(typeof loopback)[]> => {
    questions += 1
    return Promise.resolve([questions === 1 ? { address: '127.0.0.1', family: 4 } : elsewhere])
  }
  const file = await downloadModel(
    url,
    optionsFor(t, { ...base, allowPrivateAddresses: true, resolve: rebinding }),
  )
  assert.equal(file.bytes, 6)
  assert.equal(questions, 1)
  assert.equal(canary.connections(), 1)

  const nobody = (): Promise<never[]> => Promise.resolve([])
  assert.equal((await refusal(url, optionsFor(t, { ...base, resolve: nobody }))).statusCode, 400)
  const failing = (): Promise<never> =>
    Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }))
  const error = await refusal(url, optionsFor(t, { ...base, resolve: failing }))
  assert.match(error.message, /^Failed to download model from: http:.*x\.onnx \(ENOTFOUND\)$/)
})

test('https goes through the same checks, and wants a proper certificate', async (t) => {
  const { port, connections } = await httpOrigin(t, (_, response) => response.end('x'))
  const url = `https://models.example:${port}/x.onnx`
  const loopback = { address: '127.0.0.1', family: 4 }
  const base = {
    allowedOrigins: [`https://models.example:${port}`],
    resolve: () => Promise.resolve([loopback]),
  }
  const error = await refusal(url, optionsFor(t, { ...base, allowPrivateAddresses: false }))
  assert.equal(error.statusCode, 403)
  assert.equal(connections(), 0)
  const failed = await refusal(url, optionsFor(t, base))
  assert.equal(failed.type, 'DownloadModelException')
  assert.equal(connections(), 1)
})

test('public and other addresses are told apart in every notation', async () => {
  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '100.63.0.1',
    '2606:4700::1111',
    '2a00::1',
  ]) {
    assert.equal(isPublicAddress(address), true, address)
  }
  for (const address of [
    '',
    'x',
    '1.2.3',
    '8.8.8.8:80',
    '127.0.0.1',
    '0.1.2.3',
    '10.255.255.255',
    '100.127.0.1',
    '169.254.1.1',
    '172.31.0.1',
    '192.0.0.8',
    '192.0.2.1',
    '192.88.99.1',
    '198.19.0.1',
    '198.51.100.7',
    '203.0.113.9',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::8.8.8.8',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:808:808::',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
  ]) {
    assert.equal(isPublicAddress(address), false, address)
  }
  const lookup = guardedLookup(false, () =>
    Promise.resolve([
      { address: '2606:4700::1111', family: 6 },
      { address: '8.8.8.8', family: 4 },
    ]),
  )
  const ask = (options: object): Promise<unknown[]> =>
    new Promise((resolve) => {
      lookup('x', options, (...answer: unknown[]) => resolve(answer))
    })
  assert.deepEqual(await ask({}), [null, '2606:4700::1111', 6])
  assert.deepEqual(await ask({ family: 4 }), [null, '8.8.8.8', 4])
  assert.deepEqual(await ask({ all: true, family: 4 }), [null, [{ address: '8.8.8.8', family: 4 }]])
})

test('only plain http and https URLs of exactly the listed origins are asked', async (t) => {
  const canary = await httpOrigin(t, (_, response) => response.end('x'))
  const { port, origin } = canary
  const allowed = [origin, 'http://allowed', 'https://Allowed.example:443', 'http://[::1]:8080']
  const malformed = [
    'file:///etc/passwd',
    'FILE:/etc/passwd',
    'data:,x',
    'ftp://allowed/x',
    'gopher://allowed/',
    'unix:/var/run/docker.sock',
    '//allowed/x',
    `http:127.0.0.1:${port}`,
    'http:/allowed/x',
    `\thttp://127.0.0.1:${port}/`,
    `ht\ntp://127.0.0.1:${port}/`,
    ` ${origin}/x`,
    `${origin}/x `,
    'http://evil\\@allowed/',
    'http:\\\\allowed\\x',
    'http:///allowed/x',
    'http://',
    '',
    'x.onnx',
    `http://allowed@127.0.0.1:${port}/`,
    `http://u:p@127.0.0.1:${port}/x`,
    'http://allowed%2f@evil/',
    'http://allowed:99999/',
    'http://[::1/',
    'http://%00/',
    'ws://allowed/x',
  ]
  for (const url of malformed) {
    const error = await refusal(url, optionsFor(t, { allowedOrigins: allowed }))
    assert.equal(error.statusCode, 400, url)
    assert.equal(error.type, 'BadRequestException')
    assert.match(error.message, /^Invalid model url/)
  }
  const elsewhere = [
    'http://allowed.evil/',
    'http://evil/allowed',
    'http://sub.allowed/',
    'http://allowed./',
    'https://allowed/',
    'http://allowed:8080/',
    'https://allowed.example:8443/',
    'http://allowed.example/',
    `https://127.0.0.1:${port}/`,
    `http://127.0.0.1:${port + 1}/`,
    `http://localhost:${port}/`,
    'http://evil/?http://allowed/',
    'http://evil#http://allowed/',
    'http://evil/http://allowed',
  ]
  for (const url of elsewhere) {
    const error = await refusal(
      `${url}x?token=secret#secret`,
      optionsFor(t, { allowedOrigins: allowed }),
    )
    assert.equal(error.statusCode, 403, url)
    assert.match(error.message, /--allowed-origins/)
    assert.doesNotMatch(error.message, /secret/)
  }
  assert.equal(canary.connections(), 0)

  for (const url of [
    'HTTP://ALLOWED/x',
    'http://allowed:80/x',
    'https://allowed.example/x',
    'http://[0::1]:8080/',
  ]) {
    assert.ok(parseModelUrl(url, allowed), url)
  }
  assert.equal(parseOrigin('https://A.example:443'), 'https://a.example')
  assert.equal(parseOrigin('https://a.example/'), 'https://a.example')
  for (const text of [
    'a.example',
    'https://a.example/x',
    'https://u@a.example',
    'https://a?x',
    '*',
    'ftp://a',
    '',
  ]) {
    assert.equal(parseOrigin(text), undefined, text)
  }
})

test('redirects are refused and their targets never asked', async (t) => {
  const canary = await httpOrigin(t, (_, response) => response.end('secret'))
  let location: string | undefined
  let status = 302
  const { origin } = await httpOrigin(t, (_, response) => {
    response.writeHead(status, location === undefined ? {} : { location }).end()
  })
  for (const target of [`${canary.origin}/x`, 'file:///etc/passwd', '/loop', undefined]) {
    for (status of [300, 301, 302, 303, 304, 307, 308]) {
      location = target
      const error = await refusal(
        `${origin}/loop`,
        optionsFor(t, { allowedOrigins: [origin, canary.origin] }),
      )
      assert.equal(error.statusCode, 400)
      assert.equal(error.type, 'DownloadModelException')
      assert.equal(
        error.message,
        `Failed to download model from: ${origin}/loop, code: ${status} (redirects are not followed)`,
      )
    }
  }
  assert.equal(canary.connections(), 0)
})

test('what is no whole model within the limits is refused, and nothing of it is left', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\n'
  const chunked = `${head}transfer-encoding: chunked\r\n\r\n`
  type Case = [what: string, talk: (socket: Socket) => void, status: number, reason: RegExp]
  const cases: [...Case, changed?: Partial<DownloadOptions>][] = [
    [
      '404',
      (socket) => socket.end('HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n'),
      400,
      /x\.onnx, code: 404$/,
    ],
    ['500', (socket) => socket.end('HTTP/1.1 500 No\r\n\r\n'), 400, /, code: 500$/],
    ['206', (socket) => socket.end('HTTP/1.1 206 Part\r\n\r\nx'), 400, /, code: 206$/],
    ['204', (socket) => socket.end('HTTP/1.1 204 None\r\n\r\n'), 400, /, code: 204$/],
    [
      'upgrade',
      (socket) => socket.write('HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
      400,
      /^Failed to download/,
    ],
    [
      'HTML',
      (socket) => socket.end(`${head}content-type: Text/HTML\r\n\r\n<html>`),
      400,
      /an HTML page/,
    ],
    [
      'gzip bomb',
      (socket) =>
        socket.end(
          Buffer.concat([
            Buffer.from(`${head}content-encoding: gzip\r\n\r\n`),
            gzipSync(Buffer.alloc(9e6)),
          ]),
        ),
      400,
      /Content-Encoding/,
    ],
    [
      'many encodings',
      (socket) => socket.end(`${head}${'content-encoding: gzip\r\n'.repeat(500)}\r\n`),
      400,
      /Content-Encoding/,
    ],
    [
      'announced too large',
      (socket) => socket.write(`${head}content-length: 1001\r\n\r\n`),
      413,
      /larger than 1000 bytes/,
    ],
    [
      'huge length',
      (socket) => socket.write(`${head}content-length: 99999999999999999999\r\n\r\n`),
      400,
      /^Failed to download/,
    ],
    [
      'two lengths',
      (socket) => socket.end(`${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`),
      400,
      /^Failed to download/,
    ],
    [
      'short body',
      (socket) => socket.end(`${head}content-length: 10\r\n\r\nhello`),
      400,
      /^Failed to download/,
    ],
    [
      'reset',
      (socket) =>
        socket.write(`${head}content-length: 10\r\n\r\nhello`, () => socket.resetAndDestroy()),
      400,
      /ECONNRESET/,
    ],
    ['no length', (socket) => socket.end(`${head}\r\nhello`), 400, /has no Content-Length/],
    ['cut chunks', (socket) => socket.end(`${chunked}5\r\nhello\r\n`), 400, /^Failed to download/],
    ['bad chunks', (socket) => socket.end(`${chunked}zz\r\n`), 400, /^Failed to download/],
    [
      'large headers',
      (socket) => socket.end(`${head}x: ${'x'.repeat(64 * 1024)}\r\n\r\n`),
      400,
      /HPE_HEADER_OVERFLOW/,
    ],
    ['no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH\r\n'), 400, /^Failed to download/],
    ['nothing', (socket) => socket.end(), 400, /^Failed to download/],
    ['silence', () => undefined, 504, /no data arrived for 0\.3 s/, { idleTimeoutMs: 300 }],
    [
      'silence after headers',
      (socket) => socket.write(`${chunked}1\r\nx\r\n`),
      504,
      /no data arrived for 0\.3 s/,
      { idleTimeoutMs: 300 },
    ],
    [
      'endless',
      (socket) => {
        socket.write(chunked)
        const more = (): void => {
          if (socket.writable) socket.write(`200\r\n${'x'.repeat(512)}\r\n`, more)
        }
        more()
      },
      413,
      /larger than 1000 bytes/,
    ],
    [
      'one byte at a time',
      (socket) => {
        socket.write(chunked)
        const timer = setInterval(() => socket.write('1\r\nx\r\n'), 50)
        socket.once('close', () => clearInterval(timer))
      },
      504,
      /longer than 0\.6 s/,
      { timeoutMs: 600 },
    ],
  ]
  for (const [what, talk, status, reason, changed] of cases) {
    const { origin } = await rawOrigin(t, talk)
    const options = optionsFor(t, { maxBytes: 1000, ...changed })
    const error = await refusal(
      `${origin}/x.onnx?secret`,
      { ...options, allowedOrigins: [origin] },
      what,
    )
    assert.equal(error.statusCode, status, what)
    assert.match(error.message, reason, what)
    assert.doesNotMatch(error.message, /secret/)
  }
  // More than was announced belongs to no answer.
  const { origin } = await rawOrigin(t, (socket) => {
    socket.write(`${head}content-length: 10\r\n\r\n`)
    socket.end(Buffer.alloc(10_000_000))
  })
  const options = optionsFor(t, { allowedOrigins: [origin] })
  const outcome = await downloadModel(`${origin}/x`, options).catch((error: unknown) => error)
  assert.ok(outcome instanceof ServerError || filesIn(options.folder).length === 1)
  if (!(outcome instanceof ServerError)) {
    assert.deepEqual(
      filesIn(options.folder).map((name) => statSync(path.join(options.folder, name)).size),
      [10],
    )
  }
})

test('a chunked body is taken, up to exactly the limit, and one with the wrong hash is not', async (t) => {
  const { origin } = await httpOrigin(t, (_, response) => {
    response.write('12345')
    response.end('67890')
  })
  const options = optionsFor(t, { allowedOrigins: [origin], maxBytes: 10 })
  const file = await downloadModel(`${origin}/x.onnx`, options)
  assert.equal(readFileSync(file.path, 'utf8'), '1234567890')
  rmSync(file.path)
  assert.equal((await refusal(`${origin}/x.onnx`, { ...options, maxBytes: 9 })).statusCode, 413)
  const wrong = await refusal(`${origin}/x.onnx`, { ...options, sha256: '0'.repeat(64) })
  assert.equal(wrong.type, 'DownloadModelException')
  assert.match(wrong.message, new RegExp(file.sha256))
  for (const sha256 of ['', 'x', '0'.repeat(63), `${'0'.repeat(64)}\n`, '../'.repeat(22)]) {
    const error = await refusal(`${origin}/x.onnx`, { ...options, sha256 })
    assert.equal(error.type, 'BadRequestException')
    assert.equal(error.statusCode, 400)
  }
})

test('a cancelled download ends its connection and leaves nothing', async (t) => {
  let left: Promise<unknown> | undefined
  const { origin } = await httpOrigin(t, (request, response) => {
    left = once(request.socket, 'close')
    response.write('some')
  })
  const controller = new AbortController()
  const options = optionsFor(t, {
    allowedOrigins: [origin],
    signal: controller.signal,
    onProgress: () => controller.abort(),
  })
  const error = await refusal(`${origin}/x.onnx`, options)
  assert.equal(error.statusCode, 499)
  await left
  assert.ok(left)
  const early = await refusal(`${origin}/x.onnx`, options)
  assert.equal(early.statusCode, 499)
})

test('a name for the format keeps nothing that acts on a file system, a terminal or a log', () => {
  for (const [given, safe] of [
    ['../../x.onnx', 'x.onnx'],
    ['..%2f..%2fx.onnx', 'x.onnx'],
    ['C:\\evil\\x.onnx', 'x.onnx'],
    ['a\0b\r\n\u001b[31m.onnx', 'a_b____31m.onnx'],
    ['grüße.onnx', 'gr__e.onnx'],
    ['.hidden', 'hidden'],
    ['...', 'model'],
    ['', 'model'],
    ['%', 'model'],
  ] as const) {
    assert.equal(safeFileName(given), safe)
  }
})
