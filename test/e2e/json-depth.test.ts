/** JSON that the front-end reads itself: nested too deep or too long, it is refused at once. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { isDeeperThan, parseRequestJson } from '../../src/request-json.ts'
import { randomNumbers } from '../helpers/random.ts'
import { json, serve } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
const LEVELS = 250_000

/** `inner` inside of so many arrays or objects. */
function nest(levels: number, kind: 'array' | 'object', inner = '0'): string {
  return kind === 'array'
    ? '['.repeat(levels) + inner + ']'.repeat(levels)
    : '{"a":'.repeat(levels) + inner + '}'.repeat(levels)
}

/** Places where a deep value may be. */
const BODIES: readonly [title: string, body: string][] = (['array', 'object'] as const).flatMap(
  (kind): [string, string][] => [
    [`${kind}s alone`, nest(LEVELS, kind)],
    [`${kind}s in a known key`, `{"ready":${nest(LEVELS, kind)},"url":${nest(LEVELS, kind)}}`],
    [`${kind}s in parameters`, `{"parameters":{"config":${nest(LEVELS, kind)}}}`],
    [`${kind}s in an unknown key`, `{"unknown":${nest(LEVELS, kind)}}`],
    [`${kind}s without an end`, nest(LEVELS, kind).slice(0, -LEVELS)],
    [`${kind}s in the config`, JSON.stringify({ parameters: { config: nest(100_000, kind) } })],
  ],
)

test('B10: JSON of any depth is a 400 on every route that reads it, and at once', async (t) => {
  const server = await serve(t, [], { exposeRepository: true, allowLocalPaths: true })
  const routes = [
    '/models',
    '/v2/repository/index',
    '/v2/repository/models/x/load',
    '/v2/repository/models/x/unload',
  ]
  for (const route of routes) {
    for (const [title, body] of BODIES) {
      if (title.includes('config') && !route.endsWith('/load')) continue
      const startedAt = performance.now()
      const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
      const answer = await server.manage(route, init)
      const tookMs = performance.now() - startedAt
      const text = await answer.text()
      assert.equal(answer.status, 400, `${route}, ${title}: ${text.slice(0, 200)}`)
      assert.ok(text.length < 1000, 'the answer does not repeat the body')
      // It took 900 ms of the event loop on an idle machine.
      assert.ok(tookMs < 2000, `${route}, ${title}: ${tookMs} ms`)
    }
  }
  const long = await server.manage('/models', {
    method: 'POST',
    body: JSON.stringify(
      Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`k${i}`, i])),
    ),
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(long.status, 413, await long.text())
})

test('B10: a deep parameter of a prediction is never a 500', async (t) => {
  const server = await serve(t, [iris])
  for (const kind of ['array', 'object'] as const) {
    for (const levels of [101, 10_000]) {
      const body = `{"inputs":[],"parameters":{"priority":${nest(levels, kind)}}}`
      const answer = await server.fetch('/v2/models/iris/infer', { method: 'POST', body })
      assert.equal(answer.status, 400, `${levels} ${kind}s: ${JSON.stringify(await json(answer))}`)
    }
  }
})

test('B10: parameters of a hundred levels are read, braces in texts count for nothing', () => {
  const deep = nest(100, 'array')
  assert.deepEqual(parseRequestJson(deep, 'it'), JSON.parse(deep))
  assert.throws(() => parseRequestJson(nest(101, 'array'), 'it'), { statusCode: 400 })
  const braces = JSON.stringify({ a: '['.repeat(1000), b: '\\"[['.repeat(100), '[[': '\\' })
  assert.deepEqual(parseRequestJson(braces, 'it'), JSON.parse(braces))
  assert.throws(() => parseRequestJson('{', 'it'), { message: 'it is not JSON', statusCode: 400 })
  assert.throws(() => parseRequestJson(`"${'x'.repeat(1024 * 1024)}"`, 'it'), { statusCode: 413 })
})

test('B10: the depth that is found is that of the parsed value', (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const random = randomNumbers(seed)
  for (let round = 0; round < 300; round++) {
    const value = randomValue(random, 6)
    const text = JSON.stringify(value)
    const depth = depthOf(value)
    assert.equal(isDeeperThan(depth, text), false, text)
    if (depth > 0) assert.equal(isDeeperThan(depth - 1, text), true, text)
  }
})

function randomValue(random: ReturnType<typeof randomNumbers>, levels: number): unknown {
  const kind = random.integer(0, levels > 0 ? 4 : 2)
  if (kind === 0) return random.integer(-9, 9)
  if (kind <= 2) return ['[', '{', '"', '\\', ']', 'é'].slice(0, random.integer(0, 6)).join('')
  const parts = Array.from({ length: random.integer(0, 3) }, () => randomValue(random, levels - 1))
  if (kind === 3) return parts
  return Object.fromEntries(parts.map((part, index) => [`"[${index}`, part]))
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}
