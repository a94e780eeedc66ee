/**
 * Bodies, forms, responses and clients that disconnect, over real HTTP, with bare Fastify apps that
 * use only the helpers of the routes.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { pino } from 'pino'
import { ServerError } from '../../../src/errors.ts'
import type { Header, Parameter, Prediction } from '../../../src/models/scheduling/queue/job.ts'
import { readBody } from '../../../src/routes/http/body.ts'
import { Connections } from '../../../src/routes/http/connections/connections.ts'
import { errorHandling } from '../../../src/routes/http/error-handler.ts'
import { parseUrlEncoded } from '../../../src/routes/http/form.ts'
import { whenClientLeaves } from '../../../src/routes/http/open-requests.ts'
import { answerHeaders } from '../../../src/routes/http/response-headers.ts'
import {
  requestHeaders,
  requestParameters,
} from '../../../src/routes/inference/request-parameters.ts'
import { sendPrediction } from '../../../src/routes/inference/send-prediction.ts'
import type { App } from '../../../src/routes/route-context.ts'
import { until } from '../../helpers/until.ts'
import { LIMITS, watch } from '../../helpers/watched-app.ts'

const MIB = 1024 * 1024

/** An app with the connections of the server, without its routes. */
function watchedApp(): App {
  const log = pino({ level: 'silent' })
  const connections = new Connections(LIMITS, log)
  const app: App = Fastify({
    serverFactory: (handler) => connections.createServer(handler),
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
  }).withTypeProvider<TypeBoxTypeProvider>()
  watch(app, connections)
  return app
}

/** What arrived at the routes of one test app. */
class TestApp {
  readonly app: App
  readonly bodies: Buffer[] = []
  readonly parameters: Parameter[][] = []
  readonly headers: Header[][] = []
  readonly bodyErrors: unknown[] = []
  readonly predictions: Prediction[] = []
  /** The server's sides of connections, by the port of the client. */
  readonly #sockets = new Map<number, Socket>()
  port = 0

  constructor(app: App) {
    this.app = app
    app.server.on('connection', (socket) => this.#sockets.set(socket.remotePort ?? 0, socket))
  }

  static async start(t: TestContext, maxBytes = MIB): Promise<TestApp> {
    const app = watchedApp()
    const it = new TestApp(app)
    app.removeAllContentTypeParsers()
    await app.register(multipart)
    app.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) => {
      try {
        return await readBody(payload, { maxBytes })
      } catch (error) {
        it.bodyErrors.push(error)
        throw error
      }
    })
    errorHandling(app)
    app.post('/body', async (request, reply) => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      it.bodies.push(body)
      return reply.send(String(body.length))
    })
    app.all('/parameters', async (request, reply) => {
      it.headers.push(requestHeaders(request))
      it.parameters.push(
        await requestParameters(request, { withQuery: true, maxBodyBytes: maxBytes }),
      )
      return reply.send('ok')
    })
    app.get<{ Params: { index: string } }>('/answer/:index', (request, reply) => {
      const prediction = it.predictions[Number(request.params.index)]
      assert.ok(prediction)
      return sendPrediction(reply, prediction)
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const address = app.server.address()
    it.port = typeof address === 'object' && address !== null ? address.port : 0
    t.after(() => {
      app.server.closeAllConnections()
      return app.close()
    })
    return it
  }

  connect(t: TestContext): RawClient {
    const client = new RawClient(createConnection({ host: '127.0.0.1', port: this.port }))
    t.after(() => client.socket.destroy())
    return client
  }

  /** Waits until the server has read everything that a client has sent, or has answered. */
  async arrived(client: RawClient): Promise<void> {
    const { socket } = client
    const isRead = (): boolean =>
      client.text !== '' ||
      this.#sockets.get(socket.localPort ?? 0)?.bytesRead === socket.bytesWritten
    await until('the server has read everything', isRead)
  }

  /** Waits until the server has closed every connection. */
  async left(): Promise<void> {
    const isClosed = (): boolean => [...this.#sockets.values()].every(({ closed }) => closed)
    await until('the server has closed every connection', isClosed)
  }

  /** Sends a body to a route and returns the status; what the route saw is in the lists above. */
  async post(route: string, body: Buffer | string, contentType: string): Promise<number> {
    const answer = await this.send(route, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body,
    })
    return answer.status
  }

  send(
    route: string,
    options: {
      method?: string
      headers?: Record<string, string | string[]>
      body?: Buffer | string
      agent?: Agent
    } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { method = 'GET', headers = {}, body, agent = new Agent() } = options
      const outgoing = httpRequest(
        { host: '127.0.0.1', port: this.port, path: route, method, headers, agent },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('end', () => {
            resolve({
              status: incoming.statusCode ?? 0,
              phrase: incoming.statusMessage ?? '',
              headers: incoming.headers,
              body: Buffer.concat(chunks),
              isReused: outgoing.reusedSocket,
            })
          })
          incoming.on('error', reject)
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }
}

interface Answer {
  readonly status: number
  readonly phrase: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly isReused: boolean
}

/** A connection on which the test writes what it likes. */
class RawClient {
  readonly socket: Socket
  text = ''
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1').on('data', (text: string) => (this.text += text))
    // A server that closes early may reset what is still on its way.
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  write(...parts: (string | Buffer)[]): void {
    for (const part of parts) this.socket.write(part)
  }

  /** Waits until as many answers have begun. */
  async answered(count = 1): Promise<void> {
    while (this.text.split('HTTP/1.1 ').length - 1 < count) await once(this.socket, 'data')
  }
}

const head = (route: string, ...headers: string[]): string =>
  [`POST ${route} HTTP/1.1`, 'Host: test', ...headers, '', ''].join('\r\n')
const chunk = (data: string | Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${data.length.toString(16)}\r\n`),
    Buffer.from(data),
    Buffer.from('\r\n'),
  ])
const LAST_CHUNK = '0\r\n\r\n'

/** Bytes in use after a full collection. */
function bytesInUse(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Makes the test fail when a promise is rejected that nobody looks at. */
function watchRejections(t: TestContext): unknown[] {
  const rejections: unknown[] = []
  const listener = (reason: unknown): unknown => rejections.push(reason)
  process.on('unhandledRejection', listener)
  t.after(() => process.off('unhandledRejection', listener))
  return rejections
}

test('a body arrives whole, with its length declared or in chunks of any size', async (t) => {
  const it = await TestApp.start(t, 3 * MIB)
  const body = Buffer.from(Array.from({ length: 3 * MIB }, (_, index) => (index * 31) % 251))
  for (const sizes of [
    [3 * MIB],
    [1, 3 * MIB - 1],
    [MIB, MIB, MIB],
    Array.from({ length: 3 * 64 }, () => MIB / 64),
  ]) {
    const client = it.connect(t)
    client.write(head('/body', 'Transfer-Encoding: chunked'))
    let start = 0
    for (const size of sizes) client.write(chunk(body.subarray(start, (start += size))))
    client.write(LAST_CHUNK)
    await client.answered()
    assert.ok(it.bodies.pop()?.equals(body), `${sizes.length} chunks`)
    client.write(head('/body', `Content-Length: ${body.length}`))
    for (start = 0; start < body.length; start += 100_000)
      client.write(body.subarray(start, start + 100_000))
    await client.answered(2)
    assert.ok(it.bodies.pop()?.equals(body))
  }
})

test('bodies that came over one connection stay what they were while others follow', async (t) => {
  const it = await TestApp.start(t)
  const client = it.connect(t)
  const texts = Array.from({ length: 200 }, (_, index) => `body ${index} `.repeat(1 + (index % 50)))
  client.write(...texts.map((text) => head('/body', `Content-Length: ${text.length}`) + text))
  await client.answered(texts.length)
  assert.deepEqual(it.bodies.map(String), texts)
})

test('no body is a body of no bytes, however the client says so', async (t) => {
  const it = await TestApp.start(t)
  const client = it.connect(t)
  client.write(
    head('/body', 'Content-Length: 0'),
    head('/body', 'Transfer-Encoding: chunked'),
    LAST_CHUNK,
    head('/body', 'Content-Length: 0', 'Content-Type: application/json'),
    head('/body'),
  )
  await client.answered(4)
  assert.deepEqual(
    it.bodies.map((body) => body.length),
    [0, 0, 0, 0],
  )
})

test('a body may be as large as the limit; one byte more is 413, and the connection is closed', async (t) => {
  const it = await TestApp.start(t, 1000)
  const exact = it.connect(t)
  exact.write(
    head('/body', 'Content-Length: 1000'),
    'x'.repeat(1000),
    head('/body', 'Transfer-Encoding: chunked'),
    chunk('x'.repeat(999)),
    chunk('x'),
    LAST_CHUNK,
  )
  await exact.answered(2)
  assert.deepEqual(
    it.bodies.splice(0).map((body) => body.length),
    [1000, 1000],
  )
  for (const parts of [
    [head('/body', 'Content-Length: 1001')],
    [head('/body', 'Content-Length: 1001'), 'x'.repeat(1001)],
    [head('/body', 'Content-Length: 9007199254740993')],
    [head('/body', 'Transfer-Encoding: chunked'), chunk('x'.repeat(1000)), chunk('x')],
    [head('/body', 'Transfer-Encoding: chunked'), chunk('x'.repeat(5000)), chunk('x'.repeat(5000))],
    [head('/body', 'Content-Type: multipart/form-data; boundary=b', 'Content-Length: 1001')].map(
      (text) => text.replace('/body', '/parameters'),
    ),
  ]) {
    const client = it.connect(t)
    client.write(...parts)
    await client.closed
    assert.match(client.text, /^HTTP\/1\.1 413 /)
    assert.match(client.text, /connection: close/i)
    const body: unknown = JSON.parse(client.text.split('\r\n\r\n')[1] ?? '')
    const message = 'The request body is larger than 1000 bytes.'
    assert.deepEqual(body, { code: 413, type: 'PayloadTooLargeException', message })
  }
  assert.deepEqual([it.bodies.length, it.parameters.length], [0, 0])
})

test('a length that is declared and does not come costs no memory', async (t) => {
  const it = await TestApp.start(t, 512 * MIB)
  const before = process.memoryUsage().arrayBuffers
  for (let round = 0; round < 8; round += 1) {
    const client = it.connect(t)
    client.write(head('/body', `Content-Length: ${512 * MIB}`))
    for (const piece of ['one', 'two', 'three']) {
      client.write(piece)
      await it.arrived(client)
    }
  }
  const grown = process.memoryUsage().arrayBuffers - before
  assert.ok(grown < 16 * MIB, `${grown} bytes`)
})

test('a body in too many tiny pieces is refused, and many such attacks leave no memory behind', async (t) => {
  const it = await TestApp.start(t)
  const allowed = it.connect(t)
  allowed.write(
    head('/body', 'Transfer-Encoding: chunked'),
    Buffer.concat(Array.from({ length: 65_536 }, () => chunk('x'))),
    LAST_CHUNK,
  )
  await allowed.answered()
  assert.equal(it.bodies.pop()?.length, 65_536)
  allowed.socket.destroy()
  const bomb = Buffer.concat(Array.from({ length: 70_000 }, () => chunk('x')))
  const attack = async (route: string, ...parts: string[]): Promise<void> => {
    const client = it.connect(t)
    client.write(head(route, 'Transfer-Encoding: chunked', ...parts), bomb)
    await client.closed
    assert.match(client.text, /^HTTP\/1\.1 400 /)
    assert.match(client.text, /in more than 65536 chunks/)
  }
  await attack('/body')
  const before = bytesInUse()
  for (let round = 0; round < 10; round += 1) await attack('/body')
  await it.left()
  // One retained body would be several MiB.
  const grown = bytesInUse() - before
  assert.ok(grown < MIB, `${grown} bytes`)
  assert.equal(it.bodies.length, 0)
})

test('large pieces may be as many as a slow network makes of a large body', async (t) => {
  const it = await TestApp.start(t, 64 * MIB)
  const client = it.connect(t)
  client.write(head('/body', 'Transfer-Encoding: chunked'))
  const pieces = Buffer.concat(Array.from({ length: 7000 }, () => chunk('x'.repeat(512))))
  for (let round = 0; round < 10; round += 1) client.write(pieces)
  client.write(LAST_CHUNK)
  await client.answered()
  assert.equal(it.bodies[0]?.length, 70_000 * 512)
})

test('a client that leaves halfway costs one error that somebody looks at, and no route is called', async (t) => {
  const rejections = watchRejections(t)
  const it = await TestApp.start(t)
  const leave = async (
    end: (client: RawClient) => void,
    ...parts: (string | Buffer)[]
  ): Promise<void> => {
    const client = it.connect(t)
    client.write(...parts)
    await it.arrived(client)
    end(client)
    await client.closed
  }
  const declared = [head('/body', 'Content-Length: 10'), 'half']
  const chunked = [head('/body', 'Transfer-Encoding: chunked'), chunk('half'), '5\r\nha']
  for (const end of [
    (client: RawClient) => client.socket.destroy(),
    (client: RawClient) => client.socket.resetAndDestroy(),
  ]) {
    await leave(end, ...declared)
    await leave(end, ...chunked)
    await leave(end, head('/body', 'Content-Length: 10'))
    await leave(end, head('/body', `Content-Length: ${2 * MIB}`), 'over the limit')
  }
  await until('all have failed', () => it.bodyErrors.length === 8)
  for (const error of it.bodyErrors)
    assert.ok(
      error instanceof ServerError &&
        ['BadRequestException', 'PayloadTooLargeException'].includes(error.type),
      String(error),
    )
  assert.deepEqual([it.bodies.length, rejections], [0, []])
  assert.equal(await it.post('/body', 'alive', 'text/plain'), 200)
})

/** Name, content type and value of each parameter. */
const shown = (parameters: readonly Parameter[] | undefined): string[][] =>
  (parameters ?? []).map(({ name, contentType, value }) => [
    name,
    contentType,
    value.toString('latin1'),
  ])

test('form and query fields keep their bytes, their order and their repetitions', () => {
  for (const [text, expected] of [
    ['', []],
    [
      'a=1&b=2&a=3',
      [
        ['a', '1'],
        ['b', '2'],
        ['a', '3'],
      ],
    ],
    ['a', [['a', '']]],
    ['a=', [['a', '']]],
    ['=v', [['', 'v']]],
    ['=', [['', '']]],
    [
      '&&a=1&&&b=2&',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    ['a=b=c==', [['a', 'b=c==']]],
    ['a+b=c+d', [['a b', 'c d']]],
    ['a%2Bb=%2b', [['a+b', '+']]],
    ['a=%ff%00%fe', [['a', '\xff\0\xfe']]],
    ['a=\xff\xe9', [['a', '\xff\xe9']]],
    [
      'a=%&b=%4&c=%4g&d=%%41&e=%zz41',
      [
        ['a', '%'],
        ['b', '%4'],
        ['c', '%4g'],
        ['d', '%A'],
        ['e', '%zz41'],
      ],
    ],
    ['%c3%bc=%c3%bc', [['ü', 'Ã¼']]],
    ['a=%26%3D%25', [['a', '&=%']]],
    ['a;b=1;c', [['a;b', '1;c']]],
    [
      '__proto__=1&constructor=2&toString=3&__proto__[x]=4',
      [
        ['__proto__', '1'],
        ['constructor', '2'],
        ['toString', '3'],
        ['__proto__[x]', '4'],
      ],
    ],
  ] as const) {
    assert.deepEqual(
      shown(parseUrlEncoded(Buffer.from(text, 'latin1'))),
      expected.map(([name, value]) => [name, '', value]),
      text,
    )
  }
  assert.equal(Reflect.get({}, 'x'), undefined)
})

test('forms of too many fields or too long names are refused', () => {
  const fields = (count: number): Buffer => Buffer.from('a=1&'.repeat(count))
  assert.equal(parseUrlEncoded(fields(1024)).length, 1024)
  assert.throws(() => parseUrlEncoded(fields(1025)), {
    type: 'PayloadTooLargeException',
    statusCode: 413,
  })
  assert.equal(parseUrlEncoded(Buffer.from(`${'n'.repeat(1024)}=1`)).length, 1)
  assert.throws(() => parseUrlEncoded(Buffer.from(`${'n'.repeat(1025)}=1`)), {
    type: 'BadRequestException',
    statusCode: 400,
  })
})

test('no form of 4 MiB takes long to parse', () => {
  const size = 4 * MIB
  for (const text of ['&', '+', '%', '=', 'a', '%41', '%4', '%%', '&&a']) {
    const form = Buffer.alloc(size, text)
    const started = performance.now()
    try {
      parseUrlEncoded(Buffer.concat([Buffer.from('a='), form]))
      parseUrlEncoded(form)
    } catch (error) {
      assert.ok(error instanceof ServerError)
    }
    const tookMs = performance.now() - started
    assert.ok(tookMs < 4000, `${tookMs} ms for ${text}`)
  }
})

test('the query comes first, then the form, or the body with its media type', async (t) => {
  const it = await TestApp.start(t)
  const last = (): string[][] => shown(it.parameters.at(-1))
  await it.post(
    '/parameters?q=%ff&q=2',
    'a=1&b=%fe',
    'Application/X-WWW-Form-Urlencoded; charset=utf-8',
  )
  assert.deepEqual(last(), [
    ['q', '', '\xff'],
    ['q', '', '2'],
    ['a', '', '1'],
    ['b', '', '\xfe'],
  ])
  await it.post('/parameters', Buffer.from([0xff, 0, 0x0a]), ' Image/PNG ; x=y')
  assert.deepEqual(last(), [['body', 'Image/PNG', '\xff\0\n']])
  await it.post('/parameters?', 'a=1', 'multipart/mixed; boundary=b')
  assert.deepEqual(last(), [['body', 'multipart/mixed', 'a=1']])
  await it.send('/parameters?a=1')
  assert.deepEqual(last(), [
    ['a', '', '1'],
    ['body', '', ''],
  ])
  await it.send('/parameters', { method: 'POST', body: 'no type' })
  assert.deepEqual(last(), [['body', '', 'no type']])
  await it.post('/parameters', '', 'application/x-www-form-urlencoded')
  assert.deepEqual(last(), [])
  await it.send('/parameters', { headers: { 'content-type': FORM } })
  assert.deepEqual(last(), [['body', 'multipart/form-data', '']])
})

test('headers keep the client’s spelling, of repeated ones the last, whatever their names', async (t) => {
  const it = await TestApp.start(t)
  const client = it.connect(t)
  client.write(
    head(
      '/parameters',
      'Content-Length: 0',
      'X-Mixed-Case: 1',
      'x-one: a',
      'x-one: b',
      '__proto__: p',
      'constructor: c',
      'X-Latin: \xe9',
    ),
  )
  await client.answered()
  const headers = new Map(it.headers[0])
  assert.deepEqual(
    [...headers.keys()],
    ['Host', 'Content-Length', 'X-Mixed-Case', 'x-one', '__proto__', 'constructor', 'X-Latin'],
  )
  assert.deepEqual(
    ['x-one', '__proto__', 'constructor'].map((name) => headers.get(name)),
    ['b', 'p', 'c'],
  )
  assert.equal(Reflect.get({}, 'p'), undefined)
})

const BOUNDARY = 'a-boundary'
const FORM = `multipart/form-data; boundary=${BOUNDARY}`
/** A multipart body out of `[headers, value]`. */
const form = (...parts: (readonly [headers: string, value: string | Buffer])[]): Buffer =>
  Buffer.concat([
    ...parts.flatMap(([headers, value]) => [
      Buffer.from(`--${BOUNDARY}\r\n${headers}\r\n\r\n`),
      Buffer.from(value),
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${BOUNDARY}--\r\n`),
  ])
const field = (name: string, rest = ''): string =>
  `Content-Disposition: form-data; name="${name}"${rest}`

test('parts of a form keep their order and bytes; a content type belongs to a part with a file name', async (t) => {
  const it = await TestApp.start(t)
  const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const tricky = `\r\n--${BOUNDARY.slice(0, -1)}\r\n--\r\n\r\n--${BOUNDARY}x`.replace(
    `--${BOUNDARY}x`,
    `-${BOUNDARY}`,
  )
  const cases: [headers: string, value: string | Buffer, name: string, contentType: string][] = [
    [field('plain'), 'text', 'plain', ''],
    [field('empty'), '', 'empty', ''],
    [`${field('typed')}\r\nContent-Type: application/json`, '{"a": 1}', 'typed', ''],
    [`${field('broken')}\r\nContent-Type: application/json`, '{', 'broken', ''],
    [
      `${field('file', '; filename="a.bin"')}\r\nContent-Type: image/png; q=1`,
      every,
      'file',
      'image/png',
    ],
    [
      `${field('json', '; filename="a.json"')}\r\nContent-Type: application/json`,
      '{',
      'json',
      'application/json',
    ],
    [
      `${field('text', '; filename="a.txt"')}\r\nContent-Type: text/plain`,
      'ü',
      'text',
      'text/plain',
    ],
    [field('untyped', '; filename="cat.jpg"'), every, 'untyped', 'application/octet-stream'],
    [field('nameless', '; filename=""'), every, 'nameless', ''],
    [field('file'), tricky, 'file', ''],
    [field('größe'), '1', 'größe', ''],
    [
      field('file', "; filename*=UTF-8''%c3%bc.bin") + '\r\nContent-Type: a/b',
      every,
      'file',
      'a/b',
    ],
    [`content-disposition: form-data; name=bare`, 'x', 'bare', ''],
  ]
  const status = await it.post(
    '/parameters?q=1',
    form(...cases.map(([headers, value]) => [headers, value] as const)),
    FORM,
  )
  assert.equal(status, 200)
  assert.deepEqual(shown(it.parameters[0]), [
    ['q', '', '1'],
    ...cases.map(([, value, name, contentType]) => [
      name,
      contentType,
      Buffer.from(value).toString('latin1'),
    ]),
  ])
})

test('an empty form has no parameters, and preamble and epilogue are none', async (t) => {
  const it = await TestApp.start(t)
  assert.equal(await it.post('/parameters', form(), FORM), 200)
  assert.equal(
    await it.post(
      '/parameters',
      Buffer.concat([
        Buffer.from('preamble\r\n'),
        form([field('a'), '1']),
        Buffer.from('epilogue'),
      ]),
      FORM,
    ),
    200,
  )
  assert.deepEqual(it.parameters.map(shown), [[], [['a', '', '1']]])
})

test(
  'forms that cannot be read are the client’s fault, whatever is wrong with them',
  { timeout: 20_000 },
  async (t) => {
    const rejections = watchRejections(t)
    const it = await TestApp.start(t, 10_000)
    const good = form([field('a'), '1'])
    for (const [what, body, contentType, status] of [
      ['no boundary', good, 'multipart/form-data', 400],
      ['another boundary', good, 'multipart/form-data; boundary=other', 400],
      ['an empty boundary', good, 'multipart/form-data; boundary=', 400],
      ['an endless boundary', good, `multipart/form-data; boundary=${'b'.repeat(5000)}`, 400],
      ['no end', good.subarray(0, -8), FORM, 400],
      ['an end inside the headers', good.subarray(0, 20), FORM, 400],
      [
        'an end inside a value',
        form([field('a', '; filename="f"'), 'x'.repeat(500)]).subarray(0, 300),
        FORM,
        400,
      ],
      ['nothing like a form', Buffer.alloc(500, 'x'), FORM, 400],
      ['a part without a name', form(['Content-Disposition: form-data', '1']), FORM, 400],
      ['a name of every object', form([field('__proto__'), '1']), FORM, 400],
      [
        'a name of every object, later',
        form([field('a'), '1'], [field('constructor', '; filename="f"'), '1'], [field('b'), '1']),
        FORM,
        400,
      ],
      ['a name that is too long', form([field('n'.repeat(1025)), '1']), FORM, 400],
      [
        'too many parts',
        form(...Array.from({ length: 257 }, () => [field('a'), ''] as const)),
        FORM,
        413,
      ],
    ] as const) {
      const answer = await it.send('/parameters', {
        method: 'POST',
        headers: { 'content-type': contentType, 'transfer-encoding': 'chunked' },
        body,
      })
      assert.equal(answer.status, status, `${what}: ${answer.body.toString()}`)
      assert.match(answer.headers['content-type'] ?? '', /^application\/json/, what)
    }
    assert.deepEqual([it.parameters.length, rejections], [0, []])
    assert.equal(await it.post('/parameters', good, FORM), 200)
  },
)

test('parts may be as large as the limit together; beyond, in one part or in many, is 413', async (t) => {
  const it = await TestApp.start(t, 10_000)
  const send = async (...sizes: number[]): Promise<string> => {
    const client = it.connect(t)
    client.write(
      head(
        '/parameters',
        `Content-Type: ${FORM}`,
        'Transfer-Encoding: chunked',
        'Connection: close',
      ),
    )
    client.write(
      chunk(
        form(
          ...sizes.map((size) => [field('a', '; filename="f"'), Buffer.alloc(size, 'x')] as const),
        ),
      ),
      LAST_CHUNK,
    )
    await client.closed
    return client.text.slice(9, 12)
  }
  assert.deepEqual(
    [await send(10_000), await send(4000, 3000, 3000), await send(10_000, 0)],
    ['200', '200', '200'],
  )
  assert.deepEqual(
    [
      await send(10_001),
      await send(4000, 3000, 3001),
      await send(10_000, 1),
      await send(1_000_000),
      await send(10_001, 5),
    ],
    ['413', '413', '413', '413', '413'],
  )
  const endless = it.connect(t)
  endless.write(head('/parameters', `Content-Type: ${FORM}`, 'Transfer-Encoding: chunked'))
  endless.write(chunk(form([field('a', '; filename="f"'), 'x'.repeat(20_000)]).subarray(0, -20)))
  await endless.closed
  assert.match(endless.text, /^HTTP\/1\.1 413 /, 'without waiting for the end of the part')
  assert.equal(it.parameters.length, 3)
})

test('parts in many tiny pieces are refused as bodies are', async (t) => {
  const it = await TestApp.start(t)
  const client = it.connect(t)
  const start = `--${BOUNDARY}\r\n${field('a', '; filename="f"')}\r\n\r\n`
  client.write(
    head('/parameters', `Content-Type: ${FORM}`, 'Transfer-Encoding: chunked'),
    chunk(start),
    Buffer.concat(Array.from({ length: 70_000 }, () => chunk('x'))),
  )
  await client.closed
  assert.match(client.text, /^HTTP\/1\.1 400 /)
  assert.equal(it.parameters.length, 0)
})

test('a client that leaves in the middle of a form leaves nothing behind', async (t) => {
  const rejections = watchRejections(t)
  const it = await TestApp.start(t)
  for (const sent of [
    `--${BOUNDARY}\r\nContent-Disp`,
    `--${BOUNDARY}\r\n${field('a', '; filename="f"')}\r\n\r\nhalf of`,
  ]) {
    const client = it.connect(t)
    client.write(head('/parameters', `Content-Type: ${FORM}`, 'Content-Length: 5000'), sent)
    await it.arrived(client)
    client.socket.destroy()
    await client.closed
  }
  await it.left()
  assert.equal(await it.post('/parameters', form([field('a'), '1']), FORM), 200)
  assert.deepEqual([it.parameters.length, rejections], [1, []])
})

/** Answers that go out over one connection, and what the client saw of them. */
async function relayed(t: TestContext, ...predictions: Partial<Prediction>[]): Promise<Answer[]> {
  const it = await TestApp.start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const base: Prediction = {
    id: 'r',
    contentType: 'text/x',
    status: 200,
    reason: '',
    headers: [],
    body: Buffer.from('body'),
  }
  it.predictions.push(...predictions.map((prediction) => ({ ...base, ...prediction })), base)
  const answers: Answer[] = []
  for (const index of it.predictions.keys())
    answers.push(await it.send(`/answer/${index}`, { agent }))
  const last = answers.pop()
  assert.deepEqual(
    [last?.status, last?.body.toString(), last?.headers['content-type']],
    [200, 'body', 'text/x'],
    'the connection still works',
  )
  assert.ok(
    answers.slice(1).every(({ isReused }) => isReused),
    'all came over one connection',
  )
  return answers
}

test('a response is relayed with its status, phrase, headers and bytes', async (t) => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const [made, teapot, odd, large] = await relayed(
    t,
    {
      status: 201,
      reason: 'Made it',
      headers: [
        ['X-Two', 'a'],
        ['x-latin', 'caf\xe9'],
        ['Cache-Control', 'no-store'],
      ],
      body: every,
      contentType: 'Text/X; charset=koi8',
    },
    { status: 418, body: Buffer.from('{"mine": true}'), contentType: 'application/json' },
    { status: 599, reason: '' },
    { body: Buffer.alloc(3 * MIB, 'x'), contentType: 'application/octet-stream' },
  )
  assert.ok(made && teapot && odd && large)
  assert.deepEqual(
    [
      made.status,
      made.phrase,
      made.headers['content-type'],
      made.headers['x-two'],
      made.headers['x-latin'],
      made.headers['cache-control'],
      made.headers['content-length'],
    ],
    [201, 'Made it', 'Text/X; charset=koi8', 'a', 'caf\xe9', 'no-store', '256'],
  )
  assert.ok(made.body.equals(every))
  assert.deepEqual(
    [teapot.status, teapot.phrase, teapot.body.toString(), teapot.headers['content-type']],
    [418, "I'm a Teapot", '{"mine": true}', 'application/json'],
  )
  assert.deepEqual([odd.status, large.body.length], [599, 3 * MIB])
})

test('a status that ends no request is the handler’s error, told as such', async (t) => {
  const statuses = [0, 99, 100, 101, 199, 600, 1000, -1, Number.NaN, 200.5, 2 ** 31 - 1]
  const answers = await relayed(t, ...statuses.map((status) => ({ status })))
  for (const [index, { status, body, headers }] of answers.entries()) {
    assert.equal(status, 500)
    assert.match(headers['content-type'] ?? '', /^application\/json/)
    assert.deepEqual(JSON.parse(body.toString()), {
      code: 500,
      type: 'InternalServerException',
      message: `The handler returned the invalid status ${statuses[index]}.`,
    })
  }
})

test('204 and 304 go without a body', async (t) => {
  for (const { status, body, headers } of await relayed(
    t,
    { status: 204 },
    { status: 304 },
    { status: 204, contentType: '', reason: 'Nothing' },
  )) {
    assert.ok(status === 204 || status === 304)
    assert.deepEqual([body.length, headers['transfer-encoding']], [0, undefined])
    assert.ok(headers['content-length'] === undefined || headers['content-length'] === '0')
  }
})

test('a phrase that HTTP forbids gives way to the usual one', async (t) => {
  const phrases = [
    'OK\r\nX-Injected: y',
    'OK\nX-Injected: y',
    'é€',
    '日本',
    'x'.repeat(10_240),
    'a\0b',
    '\x7f',
    '',
  ]
  for (const { phrase, headers } of await relayed(t, ...phrases.map((reason) => ({ reason })))) {
    assert.deepEqual([phrase, headers['x-injected']], ['OK', undefined])
  }
})

test('headers that frame the message, that HTTP forbids or that are too large are left out, the others stay', async (t) => {
  const forbidden: [string, string][] = [
    ...[
      'transfer-encoding',
      'Content-Length',
      'connection',
      'Keep-Alive',
      'upgrade',
      'trailer',
      'TE',
      'proxy-connection',
      'X-Request-Id',
      'content-type',
      'Access-Control-Allow-Origin',
      'access-control-allow-credentials',
    ].map((name): [string, string] => [name, name === 'Content-Length' ? '3' : 'chunked']),
    ['x-split', 'a\r\nX-Injected: y'],
    ['x-lf', 'a\nX-Injected: y'],
    ['x-nul', 'a\0b'],
    ['x-wide', 'a€'],
    ['x-del', '\x7f'],
    ['x space', 'a'],
    ['x:colon', 'a'],
    ['', 'a'],
    ['x\r\nX-Injected', 'y'],
    ['x-ü', 'a'],
    ['x-huge', 'x'.repeat(MIB)],
    ['__proto__', 'a'],
  ]
  const [answer, many, first] = await relayed(
    t,
    { headers: [['x-before', '1'], ...forbidden, ['x-after', '2']] },
    { headers: Array.from({ length: 5000 }, (_, index) => [`x-${index}`, 'value'] as const) },
    {
      headers: [
        ['date', 'never'],
        ['x-first', '1'],
      ],
    },
  )
  assert.ok(answer && many && first)
  const { date, connection, 'keep-alive': keepAlive, ...rest } = answer.headers
  assert.ok(date && connection === 'keep-alive' && keepAlive)
  assert.deepEqual(rest, {
    'x-before': '1',
    'x-after': '2',
    'content-type': 'text/x',
    'content-length': '4',
    ...Object.fromEntries(answerHeaders('req-1')),
  })
  assert.equal(many.status, 200)
  assert.ok(Object.keys(many.headers).length > 500, 'many small headers are no harm')
  assert.equal(first.headers['x-first'], '1')
})

test('of a repeated header the last counts, but every cookie is kept', async (t) => {
  const [answer] = await relayed(t, {
    headers: [
      ['set-cookie', 'a=1'],
      ['x-one', '1'],
      ['Set-Cookie', 'b=2'],
      ['X-One', '2'],
    ],
  })
  assert.deepEqual([answer?.headers['set-cookie'], answer?.headers['x-one']], [['a=1', 'b=2'], '2'])
})

test('a content type that HTTP forbids, is too long or is absent becomes application/octet-stream', async (t) => {
  const types = ['text/html\r\nX-Injected: y', 'x'.repeat(20_480), '', 'text/€', 'a\0b']
  for (const { status, headers, body } of await relayed(
    t,
    ...types.map((contentType) => ({ contentType })),
  )) {
    assert.deepEqual(
      [status, headers['content-type'], headers['x-injected'], body.toString()],
      [200, 'application/octet-stream', undefined, 'body'],
    )
  }
})

/** An app with one route that does `work` with a reply that is watched. */
async function watched(
  t: TestContext,
  work: (leave: () => void, request: FastifyRequest, reply: FastifyReply) => Promise<void>,
): Promise<{ port: number; leaves: () => number }> {
  const app = watchedApp()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) =>
    readBody(payload, { maxBytes: MIB }),
  )
  let leaves = 0
  app.all('/', async (request, reply) => {
    await work(() => (leaves += 1), request, reply)
    return reply
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => {
    app.server.closeAllConnections()
    return app.close()
  })
  const address = app.server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    leaves: () => leaves,
  }
}

test('a client that leaves before its response is noticed once, with and without a body', async (t) => {
  let arrived = 0
  const { port, leaves } = await watched(t, async (leave, request, reply) => {
    arrived += 1
    whenClientLeaves(request, reply, leave)
    await new Promise((resolve) => reply.raw.once('close', resolve))
    await reply.send('too late')
  })
  for (const [round, parts] of [
    [head('/', 'Content-Length: 4'), 'body'],
    ['GET / HTTP/1.1\r\nHost: test\r\n\r\n'],
  ].entries()) {
    const socket = createConnection({ host: '127.0.0.1', port })
    for (const part of parts) socket.write(part)
    await until('the request arrived', () => arrived === round + 1)
    // Time in which a wrong notice would come.
    await delay(20)
    assert.equal(leaves(), round, 'not while the client waits')
    socket.destroy()
    await until('it was noticed', () => leaves() === round + 1)
  }
})

test('a client that has left before anybody watched is noticed at once', async (t) => {
  let hasArrived = false
  const { port, leaves } = await watched(t, async (leave, request, reply) => {
    hasArrived = true
    await new Promise((resolve) => reply.raw.once('close', resolve))
    whenClientLeaves(request, reply, leave)
    await reply.send('too late')
  })
  const socket = createConnection({ host: '127.0.0.1', port })
  socket.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  await until('the request arrived', () => hasArrived)
  socket.destroy()
  await until('it was noticed', () => leaves() === 1)
})

test('a client with a response has not left, also when it goes in the middle of a large response', async (t) => {
  let closed = 0
  const { port, leaves } = await watched(t, async (leave, request, reply) => {
    whenClientLeaves(request, reply, leave)
    reply.raw.once('close', () => (closed += 1))
    await reply.send(Buffer.alloc(10 * MIB))
  })
  const patient = await fetch(`http://127.0.0.1:${port}/`)
  assert.equal((await patient.arrayBuffer()).byteLength, 10 * MIB)
  await until('the answer is out', () => closed === 1)
  const hasty = createConnection({ host: '127.0.0.1', port })
  hasty.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  await once(hasty, 'data')
  hasty.destroy()
  await until('the connection is gone', () => closed === 2)
  assert.equal(leaves(), 0)
})
