/** JSON that the front-end reads itself: nested too deep or too long, it is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeeperThan, parseRequestJson } from '../src/request-json.ts'
import { randomNumbers, testSeed } from './helpers/random.ts'

/** `inner` inside of so many arrays or objects. */
function nest(levels: number, kind: 'array' | 'object', inner = '0'): string {
  return kind === 'array'
    ? '['.repeat(levels) + inner + ']'.repeat(levels)
    : '{"a":'.repeat(levels) + inner + '}'.repeat(levels)
}

test('B10: parameters of a hundred levels are read, braces in texts count for nothing', () => {
  const deep = nest(100, 'array')
  assert.deepEqual(parseRequestJson(deep, 'it'), JSON.parse(deep))
  assert.throws(() => parseRequestJson(nest(101, 'array'), 'it'), { statusCode: 400 })
  const braces = JSON.stringify({ a: '['.repeat(1000), b: '\\"[['.repeat(100), '[[': '\\' })
  assert.deepEqual(parseRequestJson(braces, 'it'), JSON.parse(braces))
  assert.throws(() => parseRequestJson('{', 'it'), {
    message: 'it is not valid JSON',
    statusCode: 400,
  })
  assert.throws(() => parseRequestJson(`"${'x'.repeat(1024 * 1024)}"`, 'it'), { statusCode: 413 })
})

test('B10: the depth that is found is that of the parsed value', (t) => {
  const seed = testSeed()
  t.diagnostic(`ONNXD_TEST_SEED=${seed}`)
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
