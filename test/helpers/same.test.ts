import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { assertSame } from './same.ts'

const LARGE = 100_000

function failure(actual: unknown, expected: unknown): string {
  try {
    assertSame(actual, expected, 'They')
  } catch (error) {
    assert.ok(inspect(error).split('\n').length < 40)
    assert.ok(error instanceof assert.AssertionError)
    return error.message
  }
  return 'no failure'
}

test('large values that are equal are the same', () => {
  for (const make of [
    () => Buffer.alloc(LARGE, 1),
    () => 'x'.repeat(LARGE),
    () => Array.from({ length: LARGE }, (_, index) => index),
    () => ({ a: [{ b: Number.NaN }], c: undefined }),
  ])
    assertSame(make(), make())
})

test('the first difference of large values is shown, in few lines', () => {
  const bytes = Buffer.alloc(LARGE, 1)
  const others = Buffer.from(bytes)
  others[70_000] = 2
  assert.equal(failure(others, bytes), 'They differ at [70000]: 2 instead of 1')
  const text = 'x'.repeat(LARGE)
  const message = failure(`${text}ab`, `${text}ac`)
  assert.match(message, /^They differ at \[100001\]: "x{59}ab" instead of "x{59}ac"$/)
  assert.equal(
    failure({ a: [1, { b: [text] }] }, { a: [1, { b: [] }] }),
    'They differ at .a[1].b: 1 elements instead of 0',
  )
  assert.equal(failure([1], [1, 2]), 'They differ at the top: 1 elements instead of 2')
  assert.equal(failure({ a: 1 }, { a: 1, b: 2 }), 'They differ at .b: undefined instead of 2')
  assert.equal(failure(-0, 0), 'They differ at the top: -0 instead of 0')
})
