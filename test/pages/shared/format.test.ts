import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatAge,
  formatAmount,
  formatBytes,
  formatClock,
  formatCount,
  formatDateTime,
  formatDecimal,
  formatMilliseconds,
  formatPercent,
  formatTick,
} from '../../../src/pages/shared/format.ts'

test('numbers have about three digits, and groups from a thousand on', () => {
  assert.deepEqual(
    [0, 0.001, 0.042, 3.416, 34.16, 341.6, 3416, undefined, Number.NaN].map(formatDecimal),
    ['0', '0.001', '0.04', '3.42', '34.2', '342', '3,416', '–', '–'],
  )
  assert.deepEqual([0, 12_345, undefined].map(formatCount), ['0', '12,345', '–'])
  assert.deepEqual([0, 2.5, 5, 99.99, 12_000].map(formatTick), ['0', '2.5', '5', '100', '12,000'])
})

test('a size has a binary unit, and never 1024 of one', () => {
  const MIB = 1024 * 1024
  assert.deepEqual(
    [0, 999, 1023, 1024, 1.5 * MIB, 1023.9 * MIB, 4096 * 2 ** 40, undefined].map(formatBytes),
    ['0 B', '999 B', '1023 B', '1.00 KiB', '1.50 MiB', '1.00 GiB', '4,096 TiB', '–'],
  )
})

test('a time has the unit that fits it', () => {
  assert.deepEqual([0.117, 3.4, 340, 1200, 59_990, 123_000, undefined].map(formatMilliseconds), [
    '0.12 ms',
    '3.40 ms',
    '340 ms',
    '1.20 s',
    '60.0 s',
    '2 min 3 s',
    '–',
  ])
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000]
  assert.deepEqual(
    [-5, 12 * second, 3 * minute, 2 * hour + 5 * minute, 3 * day + 4 * hour].map(formatAge),
    ['0 s', '12 s', '3 min', '2 h 5 min', '3 d 4 h'],
  )
})

test('shares and amounts', () => {
  assert.deepEqual([0, 0.125, 1, undefined].map(formatPercent), ['0 %', '12.5 %', '100 %', '–'])
  assert.equal(formatAmount(1, 'model'), '1 model')
  assert.equal(formatAmount(2000, 'model'), '2,000 models')
  assert.equal(formatAmount(2, 'entry', 'entries'), '2 entries')
})

test('a time of the day is in the time zone of the reader', () => {
  const time = new Date(2026, 10, 9, 6, 3, 2)
  assert.equal(formatClock(time), '06:03:02')
  assert.equal(formatDateTime(time.toISOString()), '2026-11-09 06:03:02')
  assert.equal(formatClock('no time'), '–')
})
