/** Labels of versions, and requests that are divided among versions. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { addingModel } from '../helpers/numbered-models.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

/** A model of which version N adds N. */
function adding(t: TestContext, versions: readonly number[]): string {
  const folder = path.join(temporaryFolder(t), 'add')
  for (const version of versions) {
    mkdirSync(path.join(folder, String(version)), { recursive: true })
    writeFileSync(path.join(folder, String(version), 'model.onnx'), addingModel(version))
  }
  return folder
}

async function put(server: TestServer, routing: unknown, model = 'add'): Promise<Response> {
  const init = { method: 'PUT', headers: JSON_TYPE, body: JSON.stringify(routing) }
  return server.manage(`/models/${model}/routing`, init)
}

/** The version that answered: what it added, and what the header says. */
async function versionOf(
  server: TestServer,
  route = '/predictions/add',
  headers: Record<string, string> = {},
  body: unknown = { x: [0] },
): Promise<readonly [number, string | null]> {
  const init = { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) }
  const response = await server.fetch(route, init)
  const answer = await response.text()
  assert.equal(response.status, 200, answer)
  // The output is the last list of one number.
  const added = answer.match(/\d+(?:\.\d+)?(?=\s*\])/g)?.at(-1)
  return [Number(added), response.headers.get('onnxd-version')]
}

test('labels and weights choose the version of a request in each dialect, also after a restart', async (t) => {
  const folder = adding(t, [1, 2, 3])
  const stateDir = temporaryFolder(t)
  const settings = { stateDir, workers: 1 }
  const server = await serve(t, [folder], settings)
  assert.deepEqual(await json(await server.manage('/models/add/routing')), {})
  assert.deepEqual(await versionOf(server), [3, null])

  const routing = {
    labels: { canary: '2', stable: '1' },
    weights: { canary: 1, stable: 1 },
    sticky: { header: 'X-User' },
  }
  const set = await put(server, routing)
  assert.deepEqual([set.status, await json(set)], [200, routing])

  // A user keeps the version on all routes; all users together meet both.
  const infer = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [0] }] }
  const versions = new Set<number>()
  const ofUser = new Map<string, number>()
  for (let user = 0; user < 12; user += 1) {
    const headers = { 'x-user': `user-${user}` }
    const [version, named] = await versionOf(server, '/predictions/add', headers)
    assert.equal(named, String(version))
    for (const [route, body] of [
      ['/predictions/add', { x: [0] }],
      ['/v2/models/add/infer', infer],
      ['/v1/models/add:predict', { instances: [0] }],
      ['/invocations?model_name=add', { x: [0] }],
      ['/models/add/invoke', { x: [0] }],
      ['/add/predict', { x: [0] }],
    ] as const) {
      assert.equal((await versionOf(server, route, headers, body))[0], version, route)
    }
    versions.add(version)
    ofUser.set(headers['x-user'], version)
  }
  assert.deepEqual([...versions].toSorted(), [1, 2])

  // A version or label in the URL or header is not divided.
  assert.deepEqual(await versionOf(server, '/predictions/add/canary'), [2, null])
  assert.deepEqual(await versionOf(server, '/predictions/add/3'), [3, null])
  assert.deepEqual(await versionOf(server, '/v2/models/add/versions/stable/infer', {}, infer), [
    1,
    null,
  ])
  assert.deepEqual(await versionOf(server, '/predictions/add', { 'onnxd-version': 'canary' }), [
    2,
    null,
  ])
  assert.deepEqual(await versionOf(server, '/predictions/add', { 'onnxd-version': '3' }), [3, null])
  const unknown = await server.fetch('/predictions/add/beta', { method: 'POST', body: '{}' })
  assert.equal(unknown.status, 404)

  // What a label names cannot be removed.
  const refused = await server.manage('/models/add/2', { method: 'DELETE' })
  assert.equal(refused.status, 403)
  assert.match(await refused.text(), /its routing has canary/)
  await server.close()

  const again = await serve(t, [folder], settings)
  assert.deepEqual(await json(await again.manage('/models/add/routing')), routing)
  for (const [user, version] of ofUser)
    assert.equal((await versionOf(again, '/predictions/add', { 'x-user': user }))[0], version)
  const removed = await again.manage('/models/add/routing', { method: 'DELETE' })
  assert.equal(removed.status, 200)
  assert.deepEqual(await versionOf(again), [3, null])
})

test('keys may be in the query or in the body, and mistakes change nothing', async (t) => {
  const server = await serve(t, [adding(t, [1, 2])], { workers: 1 })
  for (const [sticky, requestOf] of [
    [{ query: 'user' }, (key: string) => [`/predictions/add?user=${key}`, { x: [0] }]],
    [{ field: 'user' }, (key: string) => ['/predictions/add', { id: 1, user: key, x: [0] }]],
  ] as const) {
    await put(server, { weights: { 1: 1, 2: 1 }, sticky })
    const seen = new Set<number>()
    for (let key = 0; key < 12; key += 1) {
      const [route, body] = requestOf(`key-${key}`) as [string, object]
      const answers = await Promise.all([1, 2].map(() => post(server, route, body)))
      assert.equal(answers[0], answers[1])
      seen.add(Number(answers[0]))
    }
    assert.deepEqual([...seen].toSorted(), [1, 2], JSON.stringify(sticky))
  }
  const before = await json(await server.manage('/models/add/routing'))
  for (const [routing, status, message] of [
    [{ labels: { canary: '3' } }, 404, /version: 3 does not exist/],
    [{ weights: { 1: 0 } }, 400, /above 0/],
    [{ weigths: {} }, 400, /weigths/],
    [[], 400, /object/],
  ] as const) {
    const response = await put(server, routing)
    assert.equal(response.status, status)
    assert.match(await response.text(), message)
  }
  assert.equal((await put(server, {}, 'nothing')).status, 404)
  const broken = { method: 'PUT', headers: JSON_TYPE, body: '{"weights": ' }
  assert.equal((await server.manage('/models/add/routing', broken)).status, 400)
  assert.deepEqual(await json(await server.manage('/models/add/routing')), before)

  // Without a version, a weight goes with it.
  await put(server, { labels: { old: '1' } })
  assert.equal((await server.manage('/models/add/1', { method: 'DELETE' })).status, 403)
  await put(server, {})
  assert.equal((await server.manage('/models/add/1', { method: 'DELETE' })).status, 200)
})

test('a request whose chosen version is removed while its body arrives gets another one', async (t) => {
  const server = await serve(t, [adding(t, [1, 2])], { workers: 1 })
  assert.equal((await put(server, { weights: { 1: 1 } })).status, 200)
  const body = JSON.stringify({ x: [0] })
  const length = { 'content-length': String(body.length) }
  const headers = { ...JSON_TYPE, ...length, expect: '100-continue' }
  const request = http.request(`${server.inferenceUrl}/predictions/add`, {
    method: 'POST',
    headers,
  })
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>
  // The version is chosen when the headers arrive, before the server asks for the body.
  request.flushHeaders()
  await once(request, 'continue')
  assert.equal((await put(server, {})).status, 200)
  assert.equal((await server.manage('/models/add/1', { method: 'DELETE' })).status, 200)
  request.end(body)
  const [response] = await answered
  const answer = await text(response)
  assert.equal(response.statusCode, 200, answer)
  assert.match(answer, /\b2(?:\.0)?\b/)
})

/** The version that answered a request, or that rejected its body. */
async function post(server: TestServer, route: string, body: object): Promise<string | null> {
  const init = { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) }
  const response = await server.fetch(route, init)
  await response.text()
  return response.headers.get('onnxd-version')
}
