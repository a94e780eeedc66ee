/** Compares large values; a failure shows where they first differ, not all of both. */
import assert from 'node:assert/strict'
import { inspect, isDeepStrictEqual } from 'node:util'

/** What is shown of a text or of bytes, on both sides of the first difference. */
const SHOWN = 60

/** The same as `assert.deepEqual`, for values that would fill the screen. */
export function assertSame(actual: unknown, expected: unknown, what = 'The values'): void {
  if (isDeepStrictEqual(actual, expected)) return
  const message = `${what} differ ${difference(actual, expected, '')}`
  // Without the values, which the reporter of the tests would print as a whole.
  throw new assert.AssertionError({ message })
}

function difference(actual: unknown, expected: unknown, place: string): string {
  if (typeof actual === 'string' && typeof expected === 'string') {
    const at = firstDifference(actual, expected)
    return `at ${place}[${at}]: ${around(actual, at)} instead of ${around(expected, at)}`
  }
  if (isList(actual) && isList(expected)) {
    const at = [...actual].findIndex((value, index) => !isDeepStrictEqual(value, expected[index]))
    if (at === -1 || at >= expected.length)
      return `at ${place || 'the top'}: ${actual.length} elements instead of ${expected.length}`
    return difference(actual[at], expected[at], `${place}[${at}]`)
  }
  if (isRecord(actual) && isRecord(expected)) {
    for (const key of new Set([...Object.keys(actual), ...Object.keys(expected)])) {
      if (!isDeepStrictEqual(actual[key], expected[key]))
        return difference(actual[key], expected[key], `${place}.${key}`)
    }
  }
  return `at ${place || 'the top'}: ${short(actual)} instead of ${short(expected)}`
}

function firstDifference(one: string, other: string): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at += 1
  return at
}

function around(text: string, at: number): string {
  return JSON.stringify(text.slice(Math.max(0, at - SHOWN), at + SHOWN))
}

function short(value: unknown): string {
  return inspect(value, { depth: 1, maxArrayLength: 6, maxStringLength: SHOWN, breakLength: 1000 })
}

function isList(value: unknown): value is ArrayLike<unknown> & Iterable<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
