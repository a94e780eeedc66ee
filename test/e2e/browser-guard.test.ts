/** Web pages that try to reach the operators' routes through a browser on the operator's machine. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { sendRaw } from '../helpers/raw-request.ts'
import type { RawAnswer } from '../helpers/raw-request.ts'
import { serve } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
const FORM = ['content-type', 'multipart/form-data; boundary=x']
const MULTIPART = '--x\r\ncontent-disposition: form-data; name="url"\r\n\r\niris\r\n--x--\r\n'
const FIREFOX = ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101']

const portOf = (url: string): string => new URL(url).port

test('E2: a page of another site neither registers nor unloads a model', async (t) => {
  const server = await serve(t, [iris], { modelStore: 'examples', load: 'none' })
  const port = portOf(server.managementUrl)
  const foreign: (readonly string[])[] = [
    ['origin', 'https://evil.example'],
    ['origin', 'null'],
    ['origin', `http://127.0.0.1:${Number(port) + 1}`],
    ['origin', `http://127.0.0.1.evil.example:${port}`],
    ['origin', 'not a url'],
    ['sec-fetch-site', 'cross-site'],
    ['sec-fetch-site', 'same-site'],
    ['sec-fetch-site', 'cross-site', 'sec-fetch-mode', 'navigate'],
    ['referer', 'https://evil.example/page'],
    FIREFOX,
  ]
  for (const headers of foreign) {
    const refusals: RawAnswer[] = [
      await sendRaw(server.managementUrl, {
        path: '/models',
        headers: [...headers, ...FORM],
        body: MULTIPART,
      }),
      await sendRaw(server.managementUrl, {
        path: '/v2/repository/models/iris/unload',
        headers: [...headers, 'content-type', 'text/plain'],
        body: '{}',
      }),
    ]
    for (const { status, body } of refusals) {
      assert.equal(status, 403, `${headers.join(': ')} ${body.toString()}`)
    }
    assert.match(String(refusals[0]?.body), /"type": "ForbiddenException"/)
    assert.deepEqual(Object.keys(JSON.parse(String(refusals[1]?.body))), ['error'])
  }
  for (const method of ['DELETE', 'PUT']) {
    const answer = await sendRaw(server.managementUrl, {
      method,
      path: '/models/iris?min_worker=0',
      headers: ['origin', 'https://evil.example'],
    })
    assert.equal(answer.status, 403)
  }
  assert.equal((await server.manage('/models/iris')).status, 200)
})

test('E2: a name that was rebound to this machine is not answered', async (t) => {
  const server = await serve(t, [iris], { allowedHosts: ['models.internal'] })
  const port = portOf(server.managementUrl)
  const statusFor = async (host: string): Promise<number> => {
    const headers = ['host', host]
    return (await sendRaw(server.managementUrl, { method: 'GET', path: '/models', headers })).status
  }
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'x@y',
    '[',
  ]) {
    assert.equal(await statusFor(host), 403, host)
  }
  for (const host of [
    `127.0.0.1:${port}`,
    `[::1]:${port}`,
    '10.1.2.3',
    'localhost',
    `LocalHost:${port}`,
    'localhost.',
    'app.localhost:8081',
    'models.internal',
    `Models.Internal:${port}`,
  ]) {
    assert.equal(await statusFor(host), 200, host)
  }
})

test('E2: programs and pages of this server itself are answered', async (t) => {
  const server = await serve(t, [iris], { modelStore: 'examples', load: 'none' })
  const { host } = new URL(server.managementUrl)
  const own: (readonly string[])[] = [
    [],
    ['user-agent', 'curl/8.5.0'],
    ['origin', `http://${host}`, 'host', host],
    ['origin', `https://${host}`, 'host', host],
    ['sec-fetch-site', 'same-origin', 'origin', `http://${host}`, 'host', host, ...FIREFOX],
    ['sec-fetch-site', 'none', ...FIREFOX],
  ]
  for (const [index, headers] of own.entries()) {
    const query = `url=iris&model_name=m${index}&initial_workers=0`
    const answer = await sendRaw(server.managementUrl, { path: `/models?${query}`, headers })
    assert.equal(answer.status, 200, `${headers.join(': ')} ${answer.body.toString()}`)
    const form = { path: '/models', headers: [...headers, ...FORM], body: MULTIPART }
    // The form is read: it names a model that is served.
    assert.equal((await sendRaw(server.managementUrl, form)).status, 409, headers.join(': '))
  }
  const link = ['sec-fetch-site', 'cross-site', 'sec-fetch-mode', 'navigate']
  const followed = { method: 'GET', path: '/models', headers: link }
  assert.equal((await sendRaw(server.managementUrl, followed)).status, 200)
  // What clients send to a model is theirs: the inference listener has its own rules.
  const page = { method: 'GET', path: '/ping', headers: ['origin', 'https://evil.example'] }
  assert.equal((await sendRaw(server.inferenceUrl, page)).status, 200)
})

test('E2: with a token the token alone decides', async (t) => {
  const server = await serve(t, [iris], { managementToken: 'secret' })
  const foreign = ['host', 'models.example', 'origin', 'https://console.example']
  const ask = async (...headers: readonly string[]): Promise<number> =>
    (await sendRaw(server.managementUrl, { method: 'DELETE', path: '/models/iris', headers }))
      .status
  assert.equal(await ask(...foreign), 401)
  assert.equal(await ask(...foreign, 'authorization', 'Bearer secret'), 200)
})

test('E2: loads and unloads on the inference listener are closed to pages as well', async (t) => {
  const server = await serve(t, [iris], { exposeRepository: true })
  const unload = { path: '/v2/repository/models/iris/unload', body: '{}' }
  const headers = ['content-type', 'text/plain', 'origin', 'https://evil.example']
  assert.equal((await sendRaw(server.inferenceUrl, { ...unload, headers })).status, 403)
  const client = ['content-type', 'application/json']
  assert.equal((await sendRaw(server.inferenceUrl, { ...unload, headers: client })).status, 200)
})
