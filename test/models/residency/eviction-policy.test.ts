import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EvictionPolicy } from '../../../src/models/residency/eviction-policy.ts'

test('a large model that is seldom used goes before small ones that are used often', () => {
  const policy = new EvictionPolicy<string>()
  policy.add('large', 1000, 1000)
  for (const name of ['a', 'b', 'c']) policy.add(name, 100, 10)
  assert.deepEqual(policy.order, ['large', 'a', 'b', 'c'])
})

test('a model that takes long to load stays longer than one of its size that loads quickly', () => {
  const policy = new EvictionPolicy<string>()
  policy.add('slow', 5000, 100)
  policy.add('quick', 50, 100)
  assert.deepEqual(policy.order, ['quick', 'slow'])
})

test('each use moves a model back', () => {
  const policy = new EvictionPolicy<string>()
  for (const name of ['a', 'b', 'c']) policy.add(name, 100, 100)
  policy.recordUse('a')
  policy.recordUse('a')
  policy.recordUse('b')
  assert.deepEqual(policy.order, ['c', 'b', 'a'])
  policy.recordUse('unknown')
  assert.deepEqual(policy.order, ['c', 'b', 'a'])
})

test('the uses of long ago lose against those of now', () => {
  const policy = new EvictionPolicy<number>()
  policy.add(0, 100, 100)
  for (let use = 0; use < 20; use += 1) policy.recordUse(0)
  // Others come, are used three times and go, until the old one is the cheapest to lose.
  let rounds = 0
  for (let name = 1; ; name += 1) {
    policy.add(name, 100, 100)
    for (let use = 0; use < 3; use += 1) policy.recordUse(name)
    const [victim] = policy.order
    if (victim === 0) break
    assert.ok(victim !== undefined)
    policy.evict(victim)
    rounds += 1
    assert.ok(rounds < 100, 'the old model is not kept for ever')
  }
  assert.ok(rounds > 1, 'its many uses count for a while')
})

test('half of its former uses count when a model comes back', () => {
  const policy = new EvictionPolicy<string>()
  policy.add('a', 100, 100)
  for (let use = 0; use < 7; use += 1) policy.recordUse('a')
  policy.evict('a')
  policy.add('new', 100, 100)
  policy.add('a', 100, 100)
  assert.deepEqual(policy.order, ['new', 'a'])
  policy.remove('a')
  policy.add('a', 100, 100)
  policy.recordUse('new')
  assert.deepEqual(policy.order, ['a', 'new'], 'a model that was removed is unknown')
})

test('a model that grew is cheaper to lose at its next use', () => {
  const policy = new EvictionPolicy<string>()
  policy.add('a', 100, 100)
  policy.add('b', 100, 100)
  policy.resize('b', 1000)
  policy.recordUse('a')
  policy.recordUse('b')
  assert.deepEqual(policy.order, ['b', 'a'])
})
