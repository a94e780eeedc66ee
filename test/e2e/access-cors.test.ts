/** Web pages of other origins: CORS headers and preflight requests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const PAGE = 'https://app.example.com'
const TOKEN = 'a-token-of-these-tests'
const tokens = JSON.stringify([{ name: 'page', token: TOKEN, scope: ['inference', 'management'] }])
const listed = (): Promise<TestServer> =>
  sharedServer([iris], { tokens, corsOrigins: [PAGE, 'http://localhost:3000/'] })

/** What a browser asks before it sends a request with a token. */
function preflight(origin: string, method = 'POST'): RequestInit {
  return {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type',
    },
  }
}
const allowed = ({ headers }: Response): string | null => headers.get('access-control-allow-origin')

test('a page of a listed origin may send predictions, and no other page may', async () => {
  const server = await listed()
  for (const route of ['/predictions/iris', '/v2/models/iris/infer', '/v1/models', '/nowhere']) {
    const response = await server.fetch(route, preflight(PAGE))
    assert.equal(response.status, 204, route)
    assert.equal(allowed(response), PAGE)
    assert.equal(response.headers.get('access-control-allow-headers'), 'authorization,content-type')
    assert.match(response.headers.get('access-control-allow-methods') ?? '', /\bPOST\b/)
    assert.equal(response.headers.get('access-control-allow-credentials'), null)
    assert.match(response.headers.get('vary') ?? '', /\borigin\b/i)
  }
  const authorization = `Bearer ${TOKEN}`
  const predict = (origin: string, more: object = { authorization }): Promise<Response> =>
    server.fetch('/predictions/iris', {
      ...FLOWER,
      headers: { ...FLOWER.headers, origin, ...more },
    })
  const prediction = await predict(PAGE)
  assert.equal(prediction.status, 200)
  assert.equal(allowed(prediction), PAGE)
  assert.match(prediction.headers.get('access-control-expose-headers') ?? '', /Server-Timing/)
  assert.match(prediction.headers.get('vary') ?? '', /origin/i)
  // The page can read why its request was rejected.
  const rejected = await predict(PAGE, {})
  assert.deepEqual([rejected.status, allowed(rejected)], [401, PAGE])
  assert.equal(allowed(await predict('http://localhost:3000')), 'http://localhost:3000')

  for (const origin of [
    'null',
    'https://app.example.com.evil.example',
    'https://evil.example',
    'http://app.example.com',
    'https://app.example.com:8443',
    'HTTPS://APP.EXAMPLE.COM',
    `${PAGE}, https://evil.example`,
    '*',
  ]) {
    assert.equal(allowed(await server.fetch('/predictions/iris', preflight(origin))), null, origin)
    assert.equal(allowed(await predict(origin)), null, origin)
  }
})

test('OPTIONS without the headers of a preflight request describes the model', async () => {
  const server = await listed()
  const headers = { authorization: `Bearer ${TOKEN}` }
  const response = await server.fetch('/predictions/iris', { method: 'OPTIONS', headers })
  assert.equal(response.status, 200)
  assert.ok(((await json(response)) as { openapi?: string }).openapi)
  const options = { method: 'OPTIONS', headers }
  assert.equal((await server.fetch('/nowhere', options)).status, 404)
  assert.equal((await server.fetch('/v2/models', options)).status, 405)
  assert.equal((await server.fetch('/predictions/iris', { method: 'OPTIONS' })).status, 401)
})

test('management never allows another origin', async (t) => {
  const port = 20_000 + (process.pid % 2000)
  const settings = { tokens, corsOrigins: '*', port, managementPort: port }
  const combined = await serve(t, [iris], settings)
  for (const server of [await listed(), combined]) {
    for (const [route, method] of [
      ['/models', 'POST'],
      ['/models/iris', 'DELETE'],
      ['/metrics', 'GET'],
      ['/v2/repository/models/iris/unload', 'POST'],
    ] as const) {
      const asked = await server.manage(route, preflight(PAGE, method))
      assert.ok(asked.status >= 400, route)
      assert.equal(allowed(asked), null, route)
      const headers = { origin: PAGE, authorization: `Bearer ${TOKEN}` }
      assert.equal(allowed(await server.manage('/models', { headers })), null)
    }
  }
  const ping = await combined.fetch('/ping', { headers: { origin: 'null' } })
  assert.equal(allowed(ping), '*')
})
