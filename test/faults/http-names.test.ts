/** Block N: names in headers, queries, forms and paths, compressed bodies, and methods. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { METHODS } from 'node:http'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { handlerModel } from '../helpers/handler-model.ts'
import { workerPids } from '../helpers/observe.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { answerOf, assertError, block, isFull } from './harness.ts'
import { assertRefused, forgetPeak, head, memoryOf, untilClosed } from './wire.ts'
import type { Received } from './wire.ts'

/** Paths whose errors have the form of text-embeddings-inference. */
const TEI_PATH =
  /^(?:\/models\/[^/?]+)?\/(?:embed(?:_all|_sparse)?|predict|rerank|similarity|tokenize|decode|info)$/

const MIB = 1024 * 1024
const HOST = 'Host: localhost'
const FLOWER = '{"features":[[5.1,3.5,1.4,0.2]]}'
const JSON_TYPE = 'Content-Type: application/json'
const CLOSE = 'Connection: close'

const row = block({ models: (t) => [handlerModel(t, 'tool'), probeModel(t)] })

/**
 * A model whose handler returns what it sees: the headers, the fields, and whether prototypes are
 * unchanged.
 */
function probeModel(t: Cleanup): string {
  const folder = path.join(temporaryFolder(t), 'probe')
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    path.join(folder, 'service.mjs'),
    `export const handle = (data, context) => data?.map((fields, index) => ({
      names: Object.keys(fields),
      headers: Object.entries(context.getAllRequestHeader(index)),
      polluted: String({}.x) + String([].x) + String((() => {}).x),
    }))`,
  )
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  return folder
}

row('N13', 'names of prototypes are names like any other', async (server, t) => {
  const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf']
  const query = [
    '__proto__[x]=1',
    'constructor[prototype][x]=1',
    '__proto__.x=1',
    '__proto__=1',
    'toString=1',
    '__proto__[limit]=1',
    'constructor=1',
  ].join('&')
  const polluted = 'undefined'.repeat(3)
  const probe = async (
    body: string,
    type: string,
    route = '/predictions/probe',
  ): Promise<string> => {
    const headers = { 'content-type': type }
    const answer = await answerOf(await server.fetch(route, { method: 'POST', body, headers }))
    assert.equal(answer.status, 200, answer.text)
    assert.equal(JSON.parse(answer.text).polluted, polluted, body)
    return answer.text
  }
  const object =
    '{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}},"a":{"__proto__":{"x":1}}}'
  assert.match(await probe(object, 'application/json'), /"(?:data|body)"/)
  await probe(object, 'application/json', `/predictions/probe?${query}`)
  const form = await probe(
    '__proto__=1&constructor=2&__proto__%5Bx%5D=3',
    'application/x-www-form-urlencoded',
  )
  assert.match(form, /"constructor"/)
  for (const name of names) {
    const body = `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n1\r\n--b--\r\n`
    const headers = { 'content-type': 'multipart/form-data; boundary=b' }
    const answer = await answerOf(
      await server.fetch('/predictions/probe', { method: 'POST', body, headers }),
    )
    // The parser of these forms refuses the names of members of every object.
    if (name in {}) assertError(answer, 400)
    else assert.equal(JSON.parse(answer.text).polluted, polluted, name)
  }
  const lines = ['POST /predictions/probe HTTP/1.1', HOST, CLOSE, 'Content-Length: 1']
  const bytes = head(...lines, ...names.map((name) => `${name}: x`))
  const raw = await untilClosed(t, server.inferenceUrl, `${bytes}x`)
  const seen = JSON.parse(raw.body) as { headers: [string, string][]; polluted: string }
  assert.equal(seen.polluted, polluted)
  const arrived = seen.headers.map(([name]) => name.toLowerCase())
  for (const name of ['constructor', 'prototype', 'tostring'])
    assert.ok(arrived.includes(name), name)

  const listed = async (): Promise<string> => (await server.call('GET', '/models')).text
  const before = await listed()
  for (const route of ['/models', '/models/reference', '/metrics', '/ping'])
    assert.ok([200, 400].includes((await server.call('GET', `${route}?${query}`)).status), route)
  for (const body of [
    object,
    '{"__proto__":{"url":"reference","model_name":"evil"}}',
    '{"__proto__":"x"}',
  ]) {
    const headers = { 'content-type': 'application/json' }
    for (const route of ['/models', '/v2/repository/models/none/load']) {
      const { status } = await server.manage(route, { method: 'POST', body, headers })
      assert.ok(status >= 400 && status < 500, `${route} ${status}`)
    }
  }
  assert.equal(await listed(), before)
  await probe('x', 'text/plain')
})

/** The documented paths of a listener with their methods. */
async function pathsOf(url: string): Promise<Record<string, string[]>> {
  const answer = await fetch(`${url}/openapi.json`, { headers: { connection: 'close' } })
  const { paths } = (await json(answer)) as { paths: Record<string, object> }
  return Object.fromEntries(
    Object.entries(paths).map(([route, operations]) => [
      route,
      Object.keys(operations).map((method) => method.toUpperCase()),
    ]),
  )
}

/** What stands in a path where a name should. */
const ODD_NAMES = [
  '%00',
  'a%00b',
  '%0d%0aX:%20y',
  '%0d%0aX: y',
  '%0d%0aX:%20y%0d%0a%0d%0aHTTP/1.1%20200%20OK',
  '..%2f..%2f',
  '..%2f..%2fetc%2fpasswd',
  '..%5c..%5c',
  '%2e%2e',
  '%252e%252e',
  '%ff',
  '%c0%ae%c0%ae',
  '%zz',
  '%',
  '%u0041',
  '%e2%80%a8',
  '%1b[31m',
  '%22%3e%3cscript%3e',
  "';--",
  '$(id)',
  '{{7*7}}',
  'n'.repeat(101),
  'n'.repeat(129),
  'n'.repeat(4000),
  '%F0%9F%92%A9'.repeat(100),
]

row('N14', 'no name in a path gets out of its place', async (server, t) => {
  for (const url of [server.inferenceUrl, server.managementUrl]) {
    const paths = await pathsOf(url)
    const routes = Object.keys(paths).filter((route) => route.includes('{'))
    assert.ok(routes.length >= 8, `${routes.length} routes`)
    for (const name of ODD_NAMES.filter((_name, index) => isFull || index % 4 === 0)) {
      const lines = routes.flatMap((route) => {
        const targets = [
          route.replaceAll(/\{\w+\}/g, () => name),
          // A version of a model that is there.
          route.replace('{model}', 'reference').replaceAll(/\{\w+\}/g, () => name),
        ].filter((target) => target.includes(name))
        return [...(paths[route] ?? []), ...(isFull ? ['OPTIONS'] : [])].flatMap((method) =>
          targets.map((target) => `${method} ${target}`),
        )
      })
      for (const line of lines) {
        const request = head(`${line} HTTP/1.1`, HOST, JSON_TYPE, 'Content-Length: 2', CLOSE)
        const received = await untilClosed(t, url, `${request}{}`)
        const { statuses } = received
        // A target with a space is no request, so there is no path that names a dialect.
        const isKserve = / \/v[12]\//.test(line) && !name.includes(' ')
        const isTei = TEI_PATH.test(line.slice(line.indexOf(' ') + 1)) && !name.includes(' ')
        assertRefused(received, [400, 404, 405, 414], line, isKserve, isTei)
        assert.equal(statuses.length, 1, line)
        assert.doesNotMatch(received.head, /^x: y/im, line)
        assert.ok(received.body.length < 1000, `${line.slice(0, 60)}: ${received.body.length}`)
      }
    }
  }
})

row('N15', 'compressed bodies cost what their limit allows', async (server) => {
  const [worker = 0] = await workerPids(server, 'reference')
  // One member of a gzip file after the other is one file.
  const member = gzipSync(Buffer.alloc(8 * MIB, ' '), { level: 9 })
  const bomb = isFull
    ? gzipSync(Buffer.alloc(1000 * MIB, ' '), { level: 9 })
    : Buffer.concat(Array.from({ length: 125 }, () => member))
  const gzip = gzipSync(FLOWER)
  const body = { url: 'reference' }
  for (const [what, bytes, ...statuses] of [
    ['a bomb of 1 GB', bomb.subarray(0, MIB), 413],
    ['a bomb of 8 MiB', member, 413],
    ['truncated', gzip.subarray(0, -6), 400],
    ['only its header', gzip.subarray(0, 10), 400],
    ['garbage behind it', Buffer.concat([gzip, Buffer.from('garbage behind')]), 400, 200],
    ['no gzip', Buffer.from(FLOWER), 400],
    ['gzip within gzip', gzipSync(gzip), 400, 415],
    ['a wrong checksum', Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(8)]), 400],
  ] as const) {
    for (const [isManagement, route, type] of [
      [false, '/predictions/reference', 'application/json'],
      [false, '/v2/models/reference/infer', 'application/json'],
      [true, '/models', 'application/json'],
      [true, '/models', 'application/x-www-form-urlencoded'],
      [true, '/v2/repository/index', 'application/json'],
    ] as const) {
      const pids = [server.pid, worker]
      for (const pid of pids) forgetPeak(pid)
      const before = pids.map((pid) => memoryOf(pid).now)
      const headers = { 'content-type': type, 'content-encoding': 'gzip' }
      const init = { method: 'POST', body: bytes, headers }
      const answer = await answerOf(
        await (isManagement ? server.manage(route, init) : server.fetch(route, init)),
      )
      const statusText = `${what} ${route}: ${answer.status} ${answer.text}`
      // A form is any text.
      assert.ok(
        [...statuses, ...(what === 'gzip within gzip' ? [404] : [])].includes(answer.status),
        statusText,
      )
      for (const [index, pid] of pids.entries()) {
        const grown = (memoryOf(pid).peak - (before[index] ?? 0)) / MIB
        assert.ok(grown < 17, `${statusText}: ${grown} MiB`)
      }
    }
  }
  const double = { 'content-type': 'application/json', 'content-encoding': 'gzip, gzip' }
  const init = { method: 'POST', body: gzipSync(gzip), headers: double }
  assertError(await answerOf(await server.fetch('/predictions/reference', init)), 415)
  assertError(
    await answerOf(
      await server.manage('/models', { ...init, body: gzipSync(gzipSync(JSON.stringify(body))) }),
    ),
    415,
  )
})

/** The methods of some paths, as `Allow` has to list them. */
const METHODS_OF: readonly [isManagement: boolean, route: string, allowed: string[]][] = [
  [false, '/ping', ['GET', 'HEAD']],
  [false, '/predictions/reference', ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']],
  [false, '/v2/models/reference/infer', ['POST']],
  [false, '/v1/models/reference:predict', ['POST']],
  [true, '/models', ['GET', 'HEAD', 'POST']],
  [true, '/models/reference', ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']],
]

row(
  'N16',
  'a method that a path does not have is 405 with those that it has',
  async (server, t) => {
    for (const method of METHODS) {
      for (const [isManagement, route, allowed] of METHODS_OF) {
        if (allowed.includes(method)) continue
        const url = isManagement ? server.managementUrl : server.inferenceUrl
        const what = `${method} ${route}`
        const received = await untilClosed(t, url, head(`${what} HTTP/1.1`, HOST, CLOSE))
        assert.deepEqual(received.statuses, [405], what)
        const allow = /^allow: (.*)$/im.exec(received.head)?.[1]?.trim().split(', ').toSorted()
        assert.deepEqual(allow, allowed.toSorted(), what)
        if (method !== 'HEAD') assertRefused(received, 405, what, route.startsWith('/v'))
        else assert.equal(received.body, '')
      }
      for (const url of [server.inferenceUrl, server.managementUrl]) {
        const bytes = head(`${method} /nowhere HTTP/1.1`, HOST, CLOSE)
        assert.deepEqual((await untilClosed(t, url, bytes)).statuses, [404], method)
      }
    }
    // The log and the route have the method that was sent.
    await server.logged(({ method }) => method === 'PROPFIND')
    await server.logged(({ method }) => method === 'CONNECT')
  },
)

row('N16', 'every documented path refuses the other methods', async (server, t) => {
  for (const url of [server.inferenceUrl, server.managementUrl]) {
    for (const [route, documented] of Object.entries(await pathsOf(url))) {
      const target = route.replace('{model}', 'reference').replace('{version}', '1.0')
      const send = (method: string): Promise<Received> =>
        untilClosed(t, url, head(`${method} ${target} HTTP/1.1`, HOST, CLOSE))
      const refused = await send('PATCH')
      const isTei = TEI_PATH.test(target)
      assertRefused(refused, 405, target, /^\/v[12]\b/.test(target), isTei)
      const allowed = /^allow: (.*)$/im.exec(refused.head)?.[1]?.trim().split(', ') ?? []
      assert.deepEqual(
        documented.filter((method) => !allowed.includes(method)),
        [],
        target,
      )
      for (const method of ['TRACE', 'PROPFIND', 'CONNECT', 'OPTIONS', 'HEAD']) {
        const { statuses, body } = await send(method)
        assert.equal(statuses[0] === 405, !allowed.includes(method), `${method} ${target}`)
        if (method === 'HEAD') {
          assert.deepEqual(statuses, (await send('GET')).statuses, target)
          assert.equal(body, '')
        }
      }
    }
  }
})
