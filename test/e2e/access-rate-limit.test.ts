/** Rate limits, and the client addresses that proxies report. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { oneProcess } from '../helpers/http-processes.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const tokens = JSON.stringify([
  { name: 'one', token: 'token-one' },
  { name: 'two', token: 'token-two' },
])
/** Longer than the test, so that its requests are in one window. */
const rateLimitWindow = 600

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const predict = (server: TestServer, headers: Record<string, string>): Promise<Response> =>
  server.fetch('/predictions/iris', { ...FLOWER, headers: { ...FLOWER.headers, ...headers } })

test(
  'each token has its own rate, and health paths have none',
  { skip: oneProcess('its part of the rate limit') },
  async (t) => {
    const server = await serve(t, [iris], { tokens, rateLimit: 5, rateLimitWindow })
    for (let count = 0; count < 5; count += 1)
      assert.equal((await predict(server, bearer('token-one'))).status, 200)
    const message = 'Too many requests. The limit is 5 in 600 seconds.'
    const dialects: readonly [method: string, route: string, body: unknown][] = [
      ['POST', '/predictions/iris', { code: 429, type: 'TooManyRequestsException', message }],
      ['GET', '/v2/models', { error: message }],
      ['POST', '/v2/models/iris/infer', { error: message }],
      ['POST', '/v1/models/iris:predict', { error: message }],
      ['POST', '/embed', { error: message, error_type: 'Overloaded' }],
      [
        'POST',
        '/v1/embeddings',
        {
          error: {
            message,
            type: 'invalid_request_error',
            param: null,
            code: 'TooManyRequestsException',
          },
        },
      ],
    ]
    for (const [method, route, body] of dialects) {
      const response = await server.fetch(route, { method, headers: bearer('token-one') })
      assert.equal(response.status, 429, route)
      const seconds = Number(response.headers.get('retry-after'))
      assert.ok(seconds > rateLimitWindow / 2 && seconds <= rateLimitWindow, String(seconds))
      assert.deepEqual(await json(response), body)
    }
    const line = await server.logged(({ status }) => status === 429)
    assert.equal(line['token'], 'one')
    // A wrong token uses nobody's rate.
    for (let count = 0; count < 7; count += 1)
      assert.equal((await predict(server, bearer('wrong'))).status, 401)
    for (let count = 0; count < 5; count += 1)
      assert.equal((await predict(server, bearer('token-two'))).status, 200)
    assert.equal((await predict(server, bearer('token-two'))).status, 429)
    for (const route of ['/ping', '/v2/health/live', '/v2/health/ready', '/']) {
      for (let count = 0; count < 7; count += 1)
        assert.equal((await server.fetch(route, { headers: bearer('token-one') })).status, 200)
    }
    for (let count = 0; count < 7; count += 1)
      assert.equal((await server.manage('/models')).status, 200)
  },
)

test(
  'the address that a proxy reports counts only if the proxy is trusted',
  { skip: oneProcess('its part of the rate limit') },
  async (t) => {
    const limits = { rateLimit: 1, rateLimitWindow }
    const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
    const statuses = async (server: TestServer): Promise<number[]> => {
      const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.1']
      const found: number[] = []
      for (const address of addresses) found.push((await predict(server, from(address))).status)
      return found
    }
    const direct = await serve(t, [iris], limits)
    const headers = { origin: 'https://app.example.com' }
    const names = [...(await direct.fetch('/ping', { headers })).headers.keys()]
    const isForPages = (name: string): boolean => name === 'vary' || name.startsWith('access-')
    assert.deepEqual(names.filter(isForPages), [], 'no header for pages without corsOrigins')
    assert.deepEqual(await statuses(direct), [200, 429, 429])
    const seen = await direct.logged(({ msg }) => msg === 'request')
    assert.equal(seen['ip'], '127.0.0.1')

    const proxied = await serve(t, [iris], { ...limits, trustProxy: '127.0.0.0/8,192.0.2.9,::1' })
    assert.deepEqual(await statuses(proxied), [200, 200, 429])
    await proxied.logged(({ ip }) => ip === '192.0.2.2')
    // Only what trusted proxies report counts: the last address that is no trusted proxy.
    assert.equal((await predict(proxied, from('198.51.100.1, 192.0.2.3, 192.0.2.9'))).status, 200)
    await proxied.logged(({ ip }) => ip === '192.0.2.3')
    assert.equal((await predict(proxied, from('203.0.113.7, 192.0.2.3'))).status, 429)
    // Addresses of one IPv6 network are one client.
    assert.equal((await predict(proxied, from('2001:db8::1'))).status, 200)
    assert.equal((await predict(proxied, from('2001:db8::2'))).status, 429)
    assert.equal((await predict(proxied, from('2001:db8:1::1'))).status, 200)
    // Ports do not count.
    assert.equal((await predict(proxied, from('192.0.2.1:5678'))).status, 429)
    assert.equal((await predict(proxied, from('[2001:db8::3]:5678'))).status, 429)
    for (const odd of ['x'.repeat(8000), '', ',', 'unknown', '_hidden, "', '%00'])
      assert.ok([200, 429].includes((await predict(proxied, from(odd))).status))
  },
)
