import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferPool } from '../src/buffer-pool.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('a buffer that was given back is lent again, to one borrower at a time', () => {
  const pool = new BufferPool()
  const first = pool.take(600_000)
  assert.ok(first.length >= 600_000)
  assert.notEqual(pool.take(600_000).buffer, first.buffer)
  pool.give(first.subarray(0, 600_000))
  // The second time it is not lent any more.
  pool.give(first)
  const second = pool.take(700_000)
  assert.equal(second.buffer, first.buffer)
  assert.equal(second.length, first.length)
  assert.notEqual(pool.take(700_000).buffer, first.buffer)
  assert.equal(pool.freeBytes, 0)
})

test('what was never lent is not taken, and small buffers are not its business', () => {
  const pool = new BufferPool()
  pool.give(Buffer.alloc(MIB))
  pool.give(Buffer.from('text'))
  const small = pool.take(10)
  assert.ok(small.length >= 10)
  pool.give(small)
  assert.equal(pool.freeBytes, 0)
})

test('no more is kept than allowed, and nothing when nobody asks for a while', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const pool = new BufferPool(4 * MIB)
  const lent = Array.from({ length: 6 }, () => pool.take(MIB))
  for (const buffer of lent) pool.give(buffer)
  assert.equal(pool.freeBytes, 4 * MIB)
  t.mock.timers.tick(5000)
  assert.equal(pool.freeBytes, 4 * MIB, 'it was used in this time')
  pool.give(pool.take(MIB))
  t.mock.timers.tick(5000)
  assert.equal(pool.freeBytes, 4 * MIB)
  t.mock.timers.tick(5000)
  assert.equal(pool.freeBytes, 0)
  pool.give(pool.take(64 * KIB))
  assert.equal(pool.freeBytes, 64 * KIB, 'it goes on after that')
})
