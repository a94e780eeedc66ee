/** Block N: HTTP messages that are malformed, oversized or meant to be read in two ways. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { handlerModel } from '../helpers/handler-model.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { quantile, reportFigure } from './figures.ts'
import { block, size } from './harness.ts'
import type { Laboratory } from './harness.ts'
import {
  assertRefused,
  closedBy,
  forgetPeak,
  head,
  memoryOf,
  untilClosed,
  untilHalfClosed,
} from './wire.ts'

const MIB = 1024 * 1024
const HOST = 'Host: localhost'
const JSON_TYPE = 'Content-Type: application/json'
const BINARY = 'Content-Type: application/octet-stream'
const FORM = 'Content-Type: multipart/form-data; boundary=b'
const CHUNKED = 'Transfer-Encoding: chunked'
const CLOSE = 'Connection: close'

const row = block({
  settings: { headersTimeout: 4, bodyTimeout: 4, requestTimeout: 30 },
  models: (t) => [handlerModel(t, 'tool')],
})

/** Both listeners, each with a request line that reads a JSON body. */
const listenersOf = ({ inferenceUrl, managementUrl }: Laboratory) =>
  [
    [inferenceUrl, 'POST /predictions/reference'],
    [managementUrl, 'POST /models'],
  ] as const

row('N04', 'a head that is too large or has too many lines is 431', async (server, t) => {
  for (const [url] of listenersOf(server)) {
    const get = ['GET /ping HTTP/1.1', HOST]
    const long = 'a'.repeat(20 * 1024)
    for (const [what, bytes, ...statuses] of [
      ['a value of 20 KiB', head(...get, `A: ${long}`), 431],
      ['a name of 20 KiB', head(...get, `${long}: a`), 431],
      ['a URL of 20 KiB', head(`GET /${long} HTTP/1.1`, HOST), 431],
      ['a query of 20 KiB', head(`GET /ping?${long} HTTP/1.1`, HOST), 431],
      ['a host of 20 KiB', head('GET /ping HTTP/1.1', `Host: ${long}`), 431],
      ['a header that never ends', `GET /ping HTTP/1.1\r\nHost: x\r\nA: ${long}`, 431],
      ['a method that never ends', long, 400],
      [
        'trailers of 20 KiB',
        `${head('POST /models HTTP/1.1', HOST, JSON_TYPE, CHUNKED)}0\r\nA: ${long}\r\n\r\n`,
        431,
        404,
        405,
      ],
      [
        'an extension of a chunk of 20 KiB',
        `${head('POST /models HTTP/1.1', HOST, JSON_TYPE, CHUNKED)}1;${long}\r\n{\r\n`,
        400,
        404,
        405,
      ],
    ] as const) {
      assertRefused(await untilClosed(t, url, bytes), statuses, what)
    }
    const many = Array.from({ length: 3000 }, (_, index) => `h${index.toString(36)}:`)
    for (const lines of [many, many.map(() => 'a:b'), many.map(() => 'Cookie: a=b')]) {
      assertRefused(await untilClosed(t, url, head(...get, ...lines)), 431, 'many headers')
    }
    // No line is lost, not even behind many others.
    const last = [...many.slice(0, 1990), 'X-Request-Id: last', HOST, CLOSE]
    const { statuses, text } = await untilClosed(t, url, head('GET /ping HTTP/1.1', ...last))
    assert.deepEqual(statuses, [200], text)
    assert.match(text, /^x-request-id: last\r$/m)
  }
})

row(
  'N06',
  'pipelined requests are answered in their order, in little memory',
  async (server, t) => {
    const pipeline = async (url: string, count: number): Promise<void> => {
      const numbers = Array.from({ length: count }, (_, index) => index)
      const requests = numbers.map((index) =>
        head(
          'GET /ping HTTP/1.1',
          HOST,
          `X-Request-Id: ${index}`,
          index === count - 1 ? CLOSE : 'A: b',
        ),
      )
      const { text, statuses, error } = await untilClosed(t, url, requests.join(''))
      assert.deepEqual(
        [statuses.length, new Set(statuses), error],
        [count, new Set([200]), undefined],
      )
      const ids = [...text.matchAll(/^x-request-id: (\d+)\r$/gm)].map(([, id]) => Number(id))
      assert.deepEqual(ids, numbers)
    }
    for (const [url] of listenersOf(server)) {
      await pipeline(url, 1000)
      forgetPeak(server.pid)
      const before = memoryOf(server.pid).now
      await pipeline(url, size(2000, 100_000))
      const grown = (memoryOf(server.pid).peak - before) / MIB
      t.diagnostic(`${grown.toFixed(1)} MiB`)
      assert.ok(grown < 64, `${grown} MiB`)
    }
  },
)

/** Requests that two programs may divide differently. `#` stands for the rest of the head. */
const AMBIGUOUS: readonly [what: string, lines: string[], body: string][] = [
  ['length and chunks', ['Content-Length: 5', CHUNKED], '0\r\n\r\n'],
  ['chunks and length', [CHUNKED, 'Content-Length: 5'], '0\r\n\r\n'],
  ['two lengths', ['Content-Length: 2', 'Content-Length: 4'], '{}  '],
  ['the same length twice', ['Content-Length: 2', 'Content-Length: 2'], '{}'],
  ['a list of lengths', ['Content-Length: 2, 2'], '{}'],
  ...['+2', '-1', '0x2', '2 2', '2;', '2.0', '2e0', '18446744073709551617', '１'].map(
    (length): [string, string[], string] => [
      `length ${length}`,
      [`Content-Length: ${length}`],
      '{}',
    ],
  ),
  ['a length without digits', ['Content-Length:'], '{}'],
  ['a space before the colon', ['Content-Length : 2'], '{}'],
  ['a tab before the colon', ['Content-Length\t: 2'], '{}'],
  ...['xchunked', 'chunkedx', 'chunked, identity', 'identity', 'chunked;a=b', '\u000bchunked'].map(
    (coding): [string, string[], string] => [
      `coding ${coding}`,
      [`Transfer-Encoding: ${coding}`],
      '0\r\n\r\n',
    ],
  ),
  ['coding twice', [CHUNKED, 'Transfer-Encoding: identity'], '0\r\n\r\n'],
  ['a space before the colon of the coding', ['Transfer-Encoding : chunked'], '0\r\n\r\n'],
  ['a folded header', ['A: b', ' c', 'Content-Length: 2'], '{}'],
  ['a folded length', ['Content-Length:', ' 2'], '{}'],
  ['a header that begins with a space', [' A: b', 'Content-Length: 2'], '{}'],
  ['a header without a colon', ['A', 'Content-Length: 2'], '{}'],
  ['a header without a name', [': b', 'Content-Length: 2'], '{}'],
  ['NUL in a value', ['A: \0', 'Content-Length: 2'], '{}'],
  ['NUL in a name', ['A\0: b', 'Content-Length: 2'], '{}'],
  ['CR in a value', ['A: b\rContent-Length: 2', 'Content-Length: 2'], '{}'],
  ['LF in a value', ['A: b\nContent-Length: 2', 'Content-Length: 2'], '{}'],
  ['DEL in a value', ['A: \u007f', 'Content-Length: 2'], '{}'],
  ...['FFFFFFFFFFFFFFFFF', '-1', '0x2', '+2', ' 2', '2 2', 'g', ''].map(
    (length): [string, string[], string] => [
      `chunk of "${length}"`,
      [CHUNKED],
      `${length}\r\n{}\r\n0\r\n\r\n`,
    ],
  ),
  ['chunks that end with LF', [CHUNKED], '2\n{}\n0\n\n'],
  ['a chunk that is longer than it says', [CHUNKED], '1\r\n{}\r\n0\r\n\r\n'],
  ['a chunk that is shorter than it says', [CHUNKED], '3\r\n{}\r\n0\r\n\r\n'],
  ['a chunk extension with LF', [CHUNKED], '2;a\nb\r\n{}\r\n0\r\n\r\n'],
]

/** Transfer codings that Node's parser takes for `chunked` because it comes last. */
const OTHER_CODINGS = [
  ['Transfer-Encoding: gzip, chunked'],
  ['Transfer-Encoding: identity, chunked'],
  ['Transfer-Encoding: , chunked'],
  ['Transfer-Encoding: gzip', CHUNKED],
]

row(
  'N07',
  'what could be divided in two ways is 400, and nothing behind it is run',
  async (server, t) => {
    let number = 0
    const hidden = (): string =>
      head('DELETE /models/reference HTTP/1.1', HOST, `X-Request-Id: hidden-${++number}`)
    for (const [url, line] of listenersOf(server)) {
      const start = [`${line} HTTP/1.1`, HOST, JSON_TYPE]
      const requests: [what: string, bytes: string][] = AMBIGUOUS.map(([what, lines, body]) => [
        what,
        head(...start, ...lines) + body,
      ])
      requests.push(
        ['lines that end with LF', `${start.join('\n')}\nContent-Length: 2\n\n{}`],
        [
          'one line that ends with LF',
          `${line} HTTP/1.1\nHost: localhost\r\nContent-Length: 0\r\n\r\n`,
        ],
        ['a head that ends with CR', `${start.join('\r\n')}\r\n\rContent-Length: 2\r\n\r\n{}`],
        ['two spaces in the first line', head(`${line}  HTTP/1.1`, HOST, 'Content-Length: 0', 'A')],
      )
      const old = [`${line} HTTP/1.0`, JSON_TYPE, CHUNKED, 'Connection: keep-alive']
      requests.push(
        ['two hosts', head(...start, 'Host: example.com', 'Content-Length: 2') + '{}'],
        ['the same host twice', head(...start, HOST, 'Content-Length: 2') + '{}'],
        ['two hosts, and the rest comes later', head(...start, HOST, CHUNKED)],
        ['chunks in HTTP/1.0', `${head(...old)}0\r\n\r\n`],
      )
      const codings = OTHER_CODINGS.map((lines): [string, string, number] => [
        lines.join(),
        `${head(...start, ...lines)}2\r\n{}\r\n0\r\n\r\n`,
        501,
      ])
      for (const [what, bytes, status = 400] of [...requests, ...codings]) {
        const received = await untilClosed(t, url, Buffer.from(bytes + hidden(), 'latin1'))
        assertRefused(received, status, what)
        assert.deepEqual(received.statuses, [status], `${what}: one response`)
        assert.match(received.head, /^connection: close\r?$/im, what)
      }
    }
    await server.fetch('/ping', { headers: { 'x-request-id': 'after-the-hidden' } })
    await server.logged(({ requestId }) => requestId === 'after-the-hidden')
    assert.ok(
      number > 0 &&
        !server.logLines.some(({ requestId }) => String(requestId).startsWith('hidden')),
    )
  },
)

row('N08', 'a body that ends early is 400 and reaches no handler', async (server, t) => {
  const witness = path.join(temporaryFolder(t), 'witness')
  const body = `wait:${witness}`
  const text = 'Content-Type: text/plain'
  const part = `--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\nx`
  for (const [url, what, bytes] of [
    [
      server.inferenceUrl,
      'length',
      `${head('POST /predictions/tool HTTP/1.1', HOST, text, `Content-Length: ${body.length + 6}`)}${body}`,
    ],
    [
      server.inferenceUrl,
      'four of ten',
      `${head('POST /predictions/tool HTTP/1.1', HOST, text, 'Content-Length: 10')}wait`,
    ],
    [
      server.inferenceUrl,
      'chunks',
      `${head('POST /predictions/tool HTTP/1.1', HOST, text, CHUNKED)}${body.length.toString(16)}\r\n${body}\r\n`,
    ],
    [
      server.inferenceUrl,
      'half a chunk',
      `${head('POST /predictions/tool HTTP/1.1', HOST, text, CHUNKED)}fff\r\n${body}`,
    ],
    [
      server.inferenceUrl,
      'a form',
      `${head('POST /predictions/tool HTTP/1.1', HOST, FORM, 'Content-Length: 999')}${part}`,
    ],
    [
      server.inferenceUrl,
      'tensors',
      `${head('POST /v2/models/tool/infer HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: 99')}{"inputs":[`,
    ],
    [
      server.managementUrl,
      'a registration',
      `${head('POST /models HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: 99')}{"url":"reference"}`,
    ],
    [
      server.managementUrl,
      'an upload',
      `${head('POST /models HTTP/1.1', HOST, FORM, 'Content-Length: 999')}${part}`,
    ],
    [
      server.managementUrl,
      'an upload in chunks',
      `${head('POST /models HTTP/1.1', HOST, FORM, CHUNKED)}${part.length.toString(16)}\r\n${part}\r\n`,
    ],
  ] as const) {
    const received = await untilHalfClosed(t, url, bytes, 'at once')
    if (received.text !== '') assertRefused(received, 400, what, what === 'tensors')
    assert.ok(received.statuses.length <= 1, what)
  }
  // The only worker has taken every request that came before this one.
  assert.equal((await server.predict('tool', 'echo:here')).text, 'here')
  assert.equal(existsSync(`${witness}.held`), false)
})

row(
  'N09',
  'an announced length beyond the limit is 413 before a byte of the body',
  async (server, t) => {
    const lengths = ['9000000000000000', '9007199254740993', '18446744073709551615', `${6 * MIB}`]
    const routes = [
      [server.inferenceUrl, 'POST /predictions/reference', JSON_TYPE],
      [server.inferenceUrl, 'POST /predictions/tool', BINARY],
      [server.inferenceUrl, 'POST /predictions/tool', FORM],
      [server.inferenceUrl, 'PUT /predictions/tool', 'Content-Type: text/plain'],
      [server.inferenceUrl, 'POST /invocations?model_name=tool', BINARY],
      [server.inferenceUrl, 'POST /v2/models/reference/infer', JSON_TYPE],
      [server.inferenceUrl, 'POST /v1/models/reference:predict', JSON_TYPE],
      [server.managementUrl, 'POST /models', JSON_TYPE],
      [server.managementUrl, 'POST /models', 'Content-Type: application/x-www-form-urlencoded'],
      [server.managementUrl, 'PUT /models/reference', JSON_TYPE],
      [server.managementUrl, 'POST /v2/repository/index', JSON_TYPE],
    ] as const
    for (const [url, line, type] of routes) {
      for (const length of lengths) {
        const bytes = head(`${line} HTTP/1.1`, HOST, type, `Content-Length: ${length}`)
        const received = await untilClosed(t, url, bytes)
        assertRefused(received, 413, `${line} ${type} ${length}`, / \/v[12]\//.test(line))
      }
    }
    const upload = ['POST /models HTTP/1.1', HOST, FORM, `Content-Length: ${70 * MIB}`]
    assertRefused(await untilClosed(t, server.managementUrl, head(...upload)), 413, 'an upload')
  },
)

/** `bytes` as chunks of `size`, with the last one. */
function inChunks(bytes: Buffer, chunkBytes: number): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const piece = bytes.subarray(at, at + chunkBytes)
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}

row('N10', 'chunks beyond the limit are 413 and cost no memory', async (server, t) => {
  const bytes = inChunks(Buffer.alloc(3 * MIB, ' '), 64 * 1024)
  const preamble = inChunks(
    Buffer.concat([Buffer.alloc(3 * MIB, ' '), Buffer.from('\r\n--b--\r\n')]),
    64 * 1024,
  )
  const epilogue = inChunks(
    Buffer.concat([Buffer.from('--b--\r\n'), Buffer.alloc(3 * MIB)]),
    64 * 1024,
  )
  const attack = async (): Promise<void> => {
    for (const [url, line, type, body] of [
      [server.inferenceUrl, 'POST /predictions/reference', JSON_TYPE, bytes],
      [server.inferenceUrl, 'POST /predictions/tool', BINARY, bytes],
      [server.inferenceUrl, 'POST /v2/models/reference/infer', JSON_TYPE, bytes],
      [server.inferenceUrl, 'POST /predictions/tool', FORM, preamble],
      [server.inferenceUrl, 'POST /predictions/tool', FORM, epilogue],
      [server.managementUrl, 'POST /models', JSON_TYPE, bytes],
      [server.managementUrl, 'POST /v2/repository/index', JSON_TYPE, bytes],
    ] as const) {
      const start = head(`${line} HTTP/1.1`, HOST, type, CHUNKED)
      const received = await untilClosed(t, url, Buffer.concat([Buffer.from(start), body]))
      assertRefused(received, 413, `${line} ${type}`, / \/v[12]\//.test(line))
      assert.equal(received.error, undefined, line)
    }
  }
  await attack()
  forgetPeak(server.pid)
  const before = memoryOf(server.pid).now
  for (let round = 0; round < size(2, 20); round += 1) await attack()
  const grown = (memoryOf(server.pid).peak - before) / MIB
  t.diagnostic(`${grown.toFixed(1)} MiB`)
  assert.ok(grown < 24, `${grown} MiB`)
})

/** One-byte chunks, without the last one. */
const oneByteChunks = (count: number): Buffer => Buffer.alloc(6 * count, '1\r\n \r\n')

row(
  'N11',
  'a body of many tiny chunks is 400 and costs no memory',
  async (server, t) => {
    const chunks = oneByteChunks(size(70_000, 1_000_000))
    const part = '--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n'
    const start = Buffer.from(`${part.length.toString(16)}\r\n${part}\r\n`)
    const bodies: [url: string, line: string, type: string, body: Buffer][] = [
      [server.inferenceUrl, 'POST /predictions/reference', JSON_TYPE, chunks],
      [server.inferenceUrl, 'POST /predictions/tool', BINARY, chunks],
      [server.inferenceUrl, 'POST /v2/models/reference/infer', JSON_TYPE, chunks],
      [server.inferenceUrl, 'POST /predictions/tool', FORM, Buffer.concat([start, chunks])],
      [server.inferenceUrl, 'POST /predictions/tool', FORM, chunks],
      [server.managementUrl, 'POST /models', JSON_TYPE, chunks],
      [server.managementUrl, 'POST /models', FORM, Buffer.concat([start, chunks])],
      [server.managementUrl, 'POST /models', FORM, chunks],
    ]
    const attack = async (requests: number, from = 0): Promise<void> => {
      for (let count = from; count < from + requests; count += 1) {
        const [url, line, type, body] = bodies[count] ?? bodies[count % 2] ?? assert.fail()
        const bytes = Buffer.concat([
          Buffer.from(head(`${line} HTTP/1.1`, HOST, type, CHUNKED)),
          body,
        ])
        const received = await untilClosed(t, url, bytes)
        assertRefused(received, 400, `${line} ${type}`, line.includes('/v2/'))
        assert.match(received.body, /more than 65536 chunks/, `${line} ${type}`)
        assert.equal(received.error, undefined)
      }
    }
    const requests = size(4, 100)
    await attack(requests, bodies.length)
    const waits: number[] = []
    let isOver = false
    const pinging = (async () => {
      while (!isOver) {
        const startedAt = performance.now()
        await server.fetch('/ping')
        waits.push(performance.now() - startedAt)
        await delay(5)
      }
    })()
    const before = await settledMemory(server.pid)
    await attack(requests, bodies.length)
    isOver = true
    await pinging
    const grown = ((await settledMemory(server.pid)) - before) / MIB
    t.diagnostic(`/ping beside it: p99 ${quantile(waits, 0.99).toFixed(0)} ms of ${waits.length}`)
    reportFigure(t, {
      what: 'front-end memory growth over 100 requests of 10⁶ one-byte chunks',
      goal: '≤ 1 MiB',
      seen: `${grown.toFixed(1)} MiB`,
      isMet: grown <= 1,
    })
    // Then every reader of bodies, some of which take more memory for a while.
    await attack(bodies.length)
    assert.ok(grown < 64, `${grown} MiB`)
    assert.ok(quantile(waits, 0.99) < 5000, `${quantile(waits, 0.99)} ms`)
  },
  { timeout: 900_000 },
)

/** Resident memory once it changes no more, as far as that is to be seen. */
async function settledMemory(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let sample = 0; sample < size(5, 30); sample += 1) {
    await delay(100)
    least = Math.min(least, memoryOf(pid).now)
  }
  return least
}

row(
  'N12',
  'what is no HTTP/1.1 request is refused, and no protocol is switched',
  async (server, t) => {
    const websocket = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZQ==',
    ]
    const hello = Buffer.from('160301003d010000390303'.padEnd(132, '0'), 'hex')
    for (const [url] of listenersOf(server)) {
      for (const [what, bytes, ...statuses] of [
        ['a TLS hello', hello, 400],
        [
          'the preface of HTTP/2',
          'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
          400,
        ],
        ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\n\r\n', 400],
        ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: x\r\n\r\n', 400],
        ['HTTP/11', 'GET / HTTP/11\r\nHost: x\r\n\r\n', 400],
        ['SMTP', 'EHLO localhost\r\n', 400],
        ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 400],
        [
          'a PROXY line',
          'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n',
          400,
        ],
        ['CONNECT', head('CONNECT example.com:443 HTTP/1.1', HOST), 404],
        ['CONNECT to nothing', head('CONNECT / HTTP/1.1', HOST, CLOSE), 400, 404, 405],
        ['TRACE', head('TRACE /ping HTTP/1.1', HOST, 'Cookie: secret', CLOSE), 405],
        ['a web socket', head('GET /chat HTTP/1.1', HOST, ...websocket, CLOSE), 404],
        ['an expectation', head('GET /ping HTTP/1.1', HOST, 'Expect: pony'), 417],
        ['a target without a slash', head('GET ping HTTP/1.1', HOST, CLOSE), 400, 404],
        ['a small method', head('get /ping HTTP/1.1', HOST, CLOSE), 400],
      ] as const) {
        const received = await untilClosed(t, url, bytes)
        assertRefused(received, statuses, what)
        assert.equal(received.statuses.length, 1, what)
        assert.doesNotMatch(received.text, /secret/, what)
      }
      const oldest = await untilHalfClosed(t, url, 'GET /\r\n', 'at once')
      assertRefused(oldest, 400, 'HTTP/0.9')
      const asterisk = await untilClosed(t, url, head('OPTIONS * HTTP/1.1', HOST, CLOSE))
      assert.ok([200, 404, 405].includes(asterisk.statuses[0] ?? 0))
      // Upgrading is optional: the request is answered as if nothing had been said of it. It is the
      // last one of its connection, since Node cannot tell apart what follows it.
      for (const lines of [
        websocket,
        ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
      ]) {
        const upgrade = head('GET /ping HTTP/1.1', HOST, ...lines)
        const inner = head('GET /v2/health/ready HTTP/1.1', HOST, CLOSE)
        const length = `Content-Length: ${inner.length}`
        const outer = head('POST /predictions/reference HTTP/1.1', HOST, length)
        for (const packets of [
          [upgrade, inner],
          [upgrade + inner],
          [upgrade + outer, inner],
          [upgrade + outer + inner],
        ]) {
          const client = await RawClient.connect(t, url)
          client.read()
          for (const [index, packet] of packets.entries()) {
            if (index > 0) await client.answered()
            await client.write(packet)
          }
          const { statuses, text } = await closedBy(client)
          assert.deepEqual(statuses, [200], packets.join('|'))
          assert.match(text, /^connection: close/im)
        }
      }
      const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
        connectTls({ port: Number(new URL(url).port), host: '127.0.0.1' }).once('error', resolve)
      })
      assert.match(String(error.code), /SSL|ECONNRESET/)
    }
  },
)

row('N12', 'random bytes are refused and leave no connection open', async (server, t) => {
  const seed = testSeed()
  t.diagnostic(`ONNXD_TEST_SEED=${seed}`)
  const numbers = randomNumbers(seed)
  const byte = (): number => numbers.integer(0, 255)
  for (let count = 0; count < size(300, 20_000); count += 1) {
    const [url, line] = listenersOf(server)[count % 2] ?? ['', '']
    const noise = Buffer.from(Array.from({ length: numbers.integer(16, 600) }, byte))
    // Behind a line break, noise could begin with headers that are allowed.
    const starts = [
      '',
      '\r\n',
      'GET ',
      'GET /ping HTTP/1.1\r\n',
      head(`${line} HTTP/1.1`, HOST, JSON_TYPE, CHUNKED),
    ]
    const start = starts[numbers.integer(0, starts.length - 1)] ?? ''
    const { text, statuses } = await untilHalfClosed(
      t,
      url,
      Buffer.concat([Buffer.from(start), noise]),
      'at once',
    )
    const what = `seed ${seed}, number ${count}: ${text}`
    assert.ok(text === '' || (statuses[0] ?? 0) >= 400, what)
  }
})
