/** JSON whose numbers keep their text, on the page `/playground`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  JsonProblem,
  layOut,
  parseExact,
  plainValue,
  writeExact,
} from '../../../src/pages/playground/request/exact-json.ts'

test('every JSON value is read and written without a change', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const value = parseExact(text)
      assert.deepEqual(JSON.parse(writeExact(value)), JSON.parse(text))
      assert.deepEqual(JSON.parse(layOut(value)), JSON.parse(text))
    }),
  )
})

test('numbers keep their digits, and NaN and the infinities are numbers', () => {
  const text = '[18446744073709551615, 1.50, -0, 1e400, NaN, Infinity, -Infinity]'
  assert.equal(writeExact(parseExact(text)), text)
})

test('what JSON.parse rejects is rejected, with the place of the mistake', () => {
  for (const text of ['', '[1,]', '{"a" 1}', '{a: 1}', '01', '"a\nb"', '"\\x"', '[1] 2', "'a'"]) {
    assert.throws(() => JSON.parse(text), SyntaxError, text)
    assert.throws(() => parseExact(text), JsonProblem, text)
  }
  assert.throws(() => parseExact('[1,\n  x]'), /\(line 2, column 3\)\.$/)
})

test('lists in lists to any depth are rejected instead of a stack overflow', () => {
  assert.throws(() => parseExact('['.repeat(100_000)), /Too many lists/)
})

test('short values stay on one line, long lists of numbers fill their lines', () => {
  assert.equal(layOut(parseExact('{"a":[1,2],"b":"c"}')), '{"a": [1, 2], "b": "c"}')
  const lines = layOut(parseExact(JSON.stringify(Array(100).fill(12)))).split('\n')
  assert.ok(lines.length > 3 && lines.length < 12, `${lines.length} lines`)
  assert.ok(lines.every((line) => line.length <= 80))
})

test('a value is plain if objects of JavaScript and Python keep all of it', () => {
  for (const text of ['[1, 2.5, "a", true, null]', '{"a": {"b": []}}', '-3']) {
    assert.equal(writeExact(plainValue(text) ?? assert.fail(text)), text)
  }
  for (const text of ['9007199254740993', 'NaN', '[1e3]', '{"a": 1, "a": 2}', 'no JSON']) {
    assert.equal(plainValue(text), undefined, text)
  }
})
