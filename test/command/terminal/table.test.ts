import assert from 'node:assert/strict'
import test from 'node:test'
import { fieldsText, tableText, wrap } from '../../../src/command/terminal/table.ts'
import {
  NO_TERMINAL,
  printableJson,
  printableLines,
} from '../../../src/command/terminal/terminal.ts'
import { countText, durationText, sizeText } from '../../../src/command/terminal/units.ts'

const narrow = { isTerminal: true, columns: 30, hasColors: false, canRedraw: true }

test('a table is aligned, and its longest column is cut to the width of the terminal', () => {
  const columns = [
    { title: 'MODEL', canShrink: true },
    { title: 'PID', align: 'right' as const },
    { title: 'SOURCE', canShrink: true },
  ]
  const rows = [
    ['iris', '7', 'models/of/a/team/with/a/long/name'],
    ['d', '4711', 'x'],
  ]
  assert.equal(
    tableText(columns, rows, narrow),
    ['MODEL   PID  SOURCE', 'iris      7  models/of/a/team…', 'd      4711  x', ''].join('\n'),
  )
  assert.match(tableText(columns, rows, NO_TERMINAL), /models\/of\/a\/team\/with\/a\/long\/name\n/)
})

test('control characters of a name do not reach the terminal', () => {
  const text = tableText([{ title: 'A' }], [['x\u001b[31m\ny']], NO_TERMINAL)
  assert.equal(text, 'A\nx [31m y\n')
})

test('long values continue in their column, and a long word stays whole', () => {
  assert.equal(
    fieldsText(
      [
        ['file', 'one two three four five'],
        ['n', '1'],
      ],
      narrow,
    ),
    'file  one two three four five\nn     1\n',
  )
  assert.equal(
    fieldsText([['file', 'one two three four five six']], { ...narrow, columns: 28 }),
    'file  one two three four\n      five six\n',
  )
  assert.deepEqual(wrap('a http://127.0.0.1:8080/predictions b', 10), [
    'a',
    'http://127.0.0.1:8080/predictions',
    'b',
  ])
})

test('sizes, times and counts have few digits and a unit', () => {
  const sizes = [0, 512, 999, 1000, 1_310_720, 734 * 1024 * 1024, 3 * 2 ** 30]
  assert.deepEqual(sizes.map(sizeText), [
    '0 B',
    '512 B',
    '999 B',
    '0.98 KiB',
    '1.25 MiB',
    '734 MiB',
    '3 GiB',
  ])
  const times = [0.851, 12.34, 999, 12_340, 245_000, 12_000_000, 187_200_000]
  assert.deepEqual(times.map(durationText), [
    '0.85 ms',
    '12.3 ms',
    '999 ms',
    '12.3 s',
    '4 min 05 s',
    '3 h 20 min',
    '2 d 4 h',
  ])
  assert.deepEqual([1, 1000, 1_234_567].map(countText), ['1', '1 000', '1 234 567'])
})

test('characters that a terminal obeys are removed from lines, and escaped in JSON', () => {
  assert.equal(printableLines('a\u001b[31m\u009b2J\rb\n\tc\u202ed'), 'a [31m 2J b\n\tc d')
  const value = { 'x\u009b\u007f': ['\u202e', '\u001b', 'é\n'] }
  const json = printableJson(JSON.stringify(value, null, 2))
  assert.doesNotMatch(json, /(?!\n)[\p{Cc}\u202e]/u)
  assert.deepEqual(JSON.parse(json), value)
})
