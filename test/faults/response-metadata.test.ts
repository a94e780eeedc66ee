/** Block H: status, phrase, headers and content type of a response, set by a handler. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { RawClient } from '../helpers/raw-client.ts'
import { until } from '../helpers/server.ts'
import { assertError, block, size } from './harness.ts'
import type { Laboratory } from './harness.ts'
import { scriptModel } from './script-model.ts'

const row = block({ models: (t) => [scriptModel(t, 'script')] })

/** A response as it came over the connection. */
interface RawResponse {
  readonly status: number
  readonly phrase: string
  /** Names in small letters, with their values, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/**
 * Has the handler run code, byte by byte as HTTP, and asks for `ping` on the same connection: what
 * follows the response must be the next response and nothing else.
 */
async function ask(t: TestContext, server: Laboratory, code: string): Promise<RawResponse> {
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  const head = (method: string, path: string, more: string): string =>
    `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n${more}\r\n`
  const length = `content-length: ${Buffer.byteLength(code)}\r\n`
  await client.write(head('POST', '/predictions/script', length) + code)
  await until(() => client.text.includes('\r\n\r\n'))
  await client.write(head('GET', '/ping', 'connection: close\r\n'))
  await client.ended
  // The server would wait for the other half of the connection.
  client.socket.destroy()
  assert.equal(client.error, undefined, code)
  const split = client.text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = client.text.slice(0, split).split('\r\n')
  const [, status = '', phrase = ''] = /^HTTP\/1\.1 (\d{3}) ([^\r\n]*)$/.exec(first) ?? []
  const headers = lines.map((line) => {
    const [, name = '', value = ''] = /^([^\s:]+): ?([^\r\n]*)$/.exec(line) ?? []
    assert.notEqual(name, '', `${JSON.stringify(line)} is a header`)
    return [name.toLowerCase(), value] as const
  })
  const lengths = headers.filter(([name]) => name === 'content-length')
  assert.deepEqual(
    headers.filter(([name]) => name === 'transfer-encoding'),
    [],
  )
  const isEmpty = status === '204' || status === '304'
  assert.equal(lengths.length, isEmpty ? 0 : 1, code)
  const rest = client.text.slice(split + 4)
  const body = rest.slice(0, Number(lengths[0]?.[1] ?? 0))
  assert.match(rest.slice(body.length), /^HTTP\/1\.1 200 OK\r\n/, `${code}: ${rest.slice(0, 300)}`)
  return { status: Number(status), phrase, headers, body }
}

const valuesOf = ({ headers }: RawResponse, name: string): string[] =>
  headers.filter(([each]) => each === name).map(([, value]) => value)

/** A response is an error of the server's own. */
function assertInvalid(response: RawResponse): void {
  const { status, body } = response
  assertError({ status, text: body, headers: new Headers() }, 500, 503)
}

/** A response is a 500 that tells the author of the handler what is wrong. */
function assertExplained(response: RawResponse, what: RegExp): void {
  const { status, body } = response
  assertError({ status, text: body, headers: new Headers() }, 500)
  assert.match(body, what)
}

const INVALID_STATUS = /The handler set an invalid response status: .* from 200 to 599\./

/** Code that sets one header and returns `ok`. */
const header = (name: string, value: string): string =>
  `context.setResponseHeader(0, ${name}, ${value}); return ['ok']`

row('H01', 'a phrase is sent where HTTP allows it, and left out otherwise', async (server, t) => {
  for (const [phrase, expected] of [
    [`'Made by hand'`, 'Made by hand'],
    [`'tab\\there'`, 'tab\there'],
    [`''`, 'Created'],
    [`'OK\\r\\nX: y'`, 'Created'],
    [`'OK\\nX: y'`, 'Created'],
    [`'OK\\r\\n\\r\\nHTTP/1.1 200 OK'`, 'Created'],
    [`'\\u0000'`, 'Created'],
    [`'é€'`, 'Created'],
    [`'😀'`, 'Created'],
    [`'\\ud800'`, 'Created'],
    [`'p'.repeat(10240)`, 'Created'],
    [`'p'.repeat(900_000)`, 'Created'],
    [`{ toString: () => 'X\\r\\nY: z' }`, 'Created'],
  ] as const) {
    const response = await ask(
      t,
      server,
      `context.setResponseStatus(201, ${phrase}); return ['ok']`,
    )
    assert.deepEqual(
      [response.status, response.phrase, response.body],
      [201, expected, 'ok'],
      phrase,
    )
  }
  const latin = await ask(t, server, `context.setResponseStatus(201, 'caf\\u00e9'); return ['ok']`)
  assert.equal(latin.phrase, 'caf\u00e9')
})

row(
  'H02',
  'a status that ends no request is 500, and 204 and 304 have no body',
  async (server, t) => {
    const status = (code: string): string => `context.setResponseStatus(${code}); return ['body']`
    for (const code of ['0', '99', '100', '101', '103', '199', '600', '700', '999'])
      assertExplained(await ask(t, server, status(code)), INVALID_STATUS)
    for (const code of [
      '-1',
      '1000',
      '1e9',
      '2 ** 53',
      '200.5',
      'NaN',
      'Infinity',
      '"abc"',
      '"200"',
      '{}',
      '[]',
      '200n',
      'true',
    ])
      assertExplained(await ask(t, server, status(code)), INVALID_STATUS)
    for (const code of ['204', '304']) {
      const typed = `context.setResponseContentType(0, 'text/plain'); ${status(code)}`
      for (const each of [status(code), typed]) {
        const response = await ask(t, server, each)
        assert.deepEqual([response.status, response.body], [Number(code), ''])
        assert.deepEqual(valuesOf(response, 'content-type'), [])
      }
    }
    for (const code of [200, 201, 205, 206, 299, 302, 399, 404, 418, 499, 503, 599]) {
      const response = await ask(t, server, status(String(code)))
      assert.deepEqual([response.status, response.body], [code, 'body'])
    }
    const none = await ask(t, server, status('undefined'))
    assert.deepEqual([none.status, none.body], [200, 'body'])
  },
)

row(
  'H03',
  'headers that frame a message or belong to the connection are the server’s',
  async (server, t) => {
    for (const [name, value] of [
      ['transfer-encoding', 'chunked'],
      ['Transfer-Encoding', 'gzip, chunked'],
      ['content-length', '3'],
      ['Content-Length', '0'],
      ['CONTENT-LENGTH', '99999'],
      ['connection', 'close'],
      ['Connection', 'upgrade'],
      ['keep-alive', 'timeout=1'],
      ['upgrade', 'websocket'],
      ['trailer', 'x-late'],
      ['te', 'trailers'],
      ['proxy-connection', 'close'],
      ['proxy-authenticate', 'Basic'],
      ['x-request-id', 'forged'],
      ['x-content-type-options', 'none'],
    ] as const) {
      const response = await ask(t, server, header(JSON.stringify(name), JSON.stringify(value)))
      assert.deepEqual([response.status, response.body], [200, 'ok'], name)
      const seen = valuesOf(response, name.toLowerCase())
      assert.ok(!seen.includes(value), `${name}: ${seen.join()}`)
      assert.ok(seen.length <= 1)
    }
    const all = ['transfer-encoding', 'content-length', 'connection', 'trailer', 'upgrade']
    const code = all.map((name) => `context.setResponseHeader(0, '${name}', '1');`).join('')
    assert.equal((await ask(t, server, `${code} return ['ok']`)).body, 'ok')
  },
)

row('H04', 'a header that HTTP forbids, or that is too large, is left out', async (server, t) => {
  const plain = (await ask(t, server, `return ['ok']`)).headers.length
  for (const value of [
    `'a\\r\\nset-cookie: b'`,
    `'a\\nb'`,
    `'a\\rb'`,
    `'a\\u0000b'`,
    `'a\\u0001b'`,
    `'a\\u007fb'`,
    `'\\u0100'`,
    `'\\u560d\\u560a'`,
    `'€'`,
    `'😀'`,
    `'\\ud800'`,
    `'v'.repeat(10_000)`,
    `'v'.repeat(1_000_000)`,
  ]) {
    const response = await ask(t, server, header(`'x-bad'`, value))
    assert.deepEqual([response.status, response.body], [200, 'ok'], value)
    assert.equal(response.headers.length, plain, value)
  }
  for (const name of [
    `'x bad'`,
    `''`,
    `' '`,
    `'x-bad:'`,
    `'x\\r\\ny'`,
    `'x-bad\\u0000'`,
    `'x-b\\u00e4d'`,
    `'x-€'`,
    `':status'`,
    `'x(bad)'`,
    `'x'.repeat(10_000)`,
    `undefined + ':'`,
  ]) {
    const response = await ask(t, server, header(name, `'v'`))
    assert.deepEqual([response.status, response.body], [200, 'ok'], name)
    assert.equal(response.headers.length, plain, name)
  }
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const response = await ask(t, server, header(`'${name}'`, `'v'`))
    assert.deepEqual(valuesOf(response, name.toLowerCase()), ['v'])
  }
  const odd = await ask(t, server, header('null', '{}'))
  assert.deepEqual(valuesOf(odd, 'null'), ['[object Object]'])
  for (const value of ['Symbol("s")', '{ toString() { throw 1 } }', 'Object.create(null)']) {
    const response = await ask(t, server, header(`'x-odd'`, value))
    if (response.status !== 200) assertExplained(response, /set the response header \\"x-odd\\"/)
  }
  for (const value of ['[]', `['a=1', 'b=2']`, '[[]]']) {
    const response = await ask(t, server, header(`'set-cookie'`, value))
    assertExplained(response, /set the response header \\"set-cookie\\" to a list/)
  }
})

row(
  'H04',
  'any number of headers costs the handler its headers, not the client its response',
  async (server, t) => {
    for (const count of [100, 1000, size(10_000, 60_000)]) {
      const response = await ask(
        t,
        server,
        `for (let i = 0; i < ${count}; i++) context.setResponseHeader(0, 'x-' + i, 'value ' + i)
      return ['ok']`,
      )
      assert.deepEqual([response.status, response.body], [200, 'ok'])
      const bytes = response.headers.reduce(
        (sum, [name, value]) => sum + name.length + value.length,
        0,
      )
      assert.ok(bytes < 10_000, `${bytes} bytes of headers`)
    }
    // Beyond what a frame between the processes may have, the worker is at fault.
    for (const code of [
      `for (let i = 0; i < 70_000; i++) context.setResponseHeader(0, 'x-' + i, 'v'); return ['ok']`,
      header(`'x-large'`, `'v'.repeat(2 ** 21)`),
      `context.setResponseStatus(200, 'p'.repeat(2 ** 21)); return ['ok']`,
      `context.setResponseContentType(0, 't'.repeat(2 ** 21)); return ['ok']`,
    ]) {
      const response = await ask(t, server, code)
      if (response.status !== 200) assertInvalid(response)
      assert.equal((await ask(t, server, `return ['alive']`)).body, 'alive')
    }
  },
)

row(
  'H05',
  'a handler may set cookies, and not which web pages may read a response',
  async (server, t) => {
    const cookie = await ask(t, server, header(`'set-cookie'`, `'a=b; HttpOnly'`))
    assert.deepEqual(valuesOf(cookie, 'set-cookie'), ['a=b; HttpOnly'])
    for (const name of [
      'access-control-allow-origin',
      'Access-Control-Allow-Origin',
      'access-control-allow-credentials',
      'access-control-expose-headers',
      'access-control-allow-private-network',
    ]) {
      const response = await ask(t, server, header(`'${name}'`, `'*'`))
      assert.equal(response.body, 'ok')
      assert.deepEqual(valuesOf(response, name.toLowerCase()), [])
    }
    // What the server sets for caches a handler may replace, once and not twice.
    const cached = await ask(t, server, header(`'Cache-Control'`, `'max-age=60'`))
    assert.deepEqual(valuesOf(cached, 'cache-control'), ['max-age=60'])
  },
)

row('H06', 'a content type that HTTP forbids is application/octet-stream', async (server, t) => {
  const type = (value: string): string =>
    `context.setResponseContentType(0, ${value}); return ['ok']`
  for (const value of [
    `'text/html\\r\\nset-cookie: a=b'`,
    `'text/html\\r\\n\\r\\n<script>'`,
    `'t'.repeat(20_480)`,
    `'t'.repeat(1_000_000)`,
    `''`,
    `'text/\\u0000plain'`,
    `'text/€'`,
  ]) {
    const response = await ask(t, server, type(value))
    assert.deepEqual([response.status, response.body], [200, 'ok'], value)
    assert.deepEqual(valuesOf(response, 'content-type'), ['application/octet-stream'], value)
    assert.deepEqual(valuesOf(response, 'set-cookie'), [])
    assert.deepEqual(valuesOf(response, 'x-content-type-options'), ['nosniff'])
  }
  const html = await ask(t, server, type(`'text/html; charset=utf-8'`))
  assert.deepEqual(valuesOf(html, 'content-type'), ['text/html; charset=utf-8'])
  const absent = await ask(t, server, `return ['ok']`)
  assert.deepEqual(valuesOf(absent, 'content-type'), ['application/octet-stream'])
})
