import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { VersionChooser } from '../../../src/models/routing/choose-version.ts'
import { checkRouting, usesOf, withoutMissing } from '../../../src/models/routing/routing.ts'
import { testSeed } from '../../helpers/random.ts'

const REQUESTS = 10_000

/** Five standard deviations of a binomial distribution: one in two million tests exceeds them. */
const allowed = (share: number): number => 5 * Math.sqrt(REQUESTS * share * (1 - share)) + 1

const counts = (chooser: VersionChooser, keyOf: (index: number) => string | undefined) => {
  const found = new Map<string | undefined, number>()
  for (let index = 0; index < REQUESTS; index += 1) {
    const version = chooser.choose(keyOf(index))
    found.set(version, (found.get(version) ?? 0) + 1)
  }
  return found
}

test('requests are divided as the weights say, with keys and without', () => {
  const weights = { '1.0': 90, '2.0': 9, canary: 1, '4.0': 0 }
  const chooser = new VersionChooser('m', { labels: { canary: '3.0' }, weights })
  const expected = { '1.0': 0.9, '2.0': 0.09, '3.0': 0.01 }
  for (const keyOf of [() => undefined, (index: number) => `user-${index}`]) {
    const found = counts(chooser, keyOf)
    for (const [version, share] of Object.entries(expected)) {
      const seen = found.get(version) ?? 0
      assert.ok(Math.abs(seen - REQUESTS * share) <= allowed(share), `${version}: ${seen}`)
    }
    assert.equal(found.size, 3)
  }
})

test('a key stays with its version, and at a step only keys between the borders change', () => {
  const names = fc.uniqueArray(fc.constantFrom('1', '2', '10', 'a', 'b'), {
    minLength: 2,
    maxLength: 2,
  })
  const weight = fc.integer({ min: 1, max: 1000 })
  fc.assert(
    fc.property(
      names,
      weight,
      weight,
      fc.integer({ min: 1, max: 1000 }),
      ([one = '', other = ''], before, rest, more) => {
        const of = (first: number): VersionChooser =>
          new VersionChooser('m', { weights: { [one]: first, [other]: rest } })
        const [small, same, large] = [of(before), of(before), of(before + more)]
        for (let index = 0; index < 50; index += 1) {
          const key = `key ${index}`
          assert.equal(small.choose(key), same.choose(key))
          // A larger share keeps all keys that it had.
          if (small.choose(key) === one) assert.equal(large.choose(key), one)
        }
      },
    ),
    { seed: testSeed(), numRuns: 200 },
  )
  const first = new VersionChooser('first', { weights: { a: 1, b: 1 } })
  const second = new VersionChooser('second', { weights: { a: 1, b: 1 } })
  const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
  assert.ok(
    keys.some((key) => first.choose(key) !== second.choose(key)),
    'models differ',
  )
})

test('a routing must name versions that exist, and have a weight', () => {
  const check = (value: unknown) => checkRouting(value, 'm', ['1.0', '2.0'])
  const good = {
    labels: { stable: '1.0' },
    weights: { stable: 3, '2.0': 1 },
    sticky: { header: 'x-user' },
  }
  assert.deepEqual(check(good), good)
  assert.deepEqual(check({}), {})
  for (const [value, message] of [
    [{ labels: { stable: '3.0' } }, /version: 3\.0 does not exist/],
    [{ labels: { '2.0': '1.0' } }, /label 2\.0 is the name of a version/],
    [{ weights: { canary: 1 } }, /version: canary does not exist/],
    [{ weights: { '1.0': 0 } }, /above 0/],
    [{ weights: {} }, /above 0/],
    [{ weights: { '1.0': -1 } }, /weights/],
    [{ weights: { '1.0': 0.5 } }, /weights/],
    [{ labels: { 'a b': '1.0' } }, /labels/],
    [JSON.parse('{"labels": {"__proto__": "1.0"}}'), /labels/],
    [{ sticky: { cookie: 'a' } }, /sticky/],
    [{ label: {} }, /label/],
    [[], /object/],
    [null, /object/],
  ] as const) {
    assert.throws(() => check(value), message, JSON.stringify(value))
  }
})

test('what names a version that is gone goes with it', () => {
  const routing = {
    labels: { stable: '1', canary: '2' },
    weights: { stable: 9, '2': 1 },
    sticky: { query: 'user' },
  }
  assert.deepEqual(usesOf(routing, '2'), ['canary', '2'])
  assert.deepEqual(usesOf(routing, '3'), [])
  assert.deepEqual(
    withoutMissing(routing, (version) => version === '1'),
    {
      labels: { stable: '1' },
      weights: { stable: 9 },
      sticky: { query: 'user' },
    },
  )
  assert.equal(
    withoutMissing(routing, () => false),
    undefined,
  )
})
