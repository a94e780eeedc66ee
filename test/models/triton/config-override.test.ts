import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfigOverride } from '../../../src/models/triton/config-override.ts'

for (const [groups, workers] of [
  [[{ count: 0 }], 1],
  [[{ count: '0' }], 1],
  [[{ count: null }], 1],
  [[{}], 1],
  [[{ count: 0 }, { count: 2 }], 3],
  [[{ count: 3 }, {}], 4],
  [[], undefined],
] as const) {
  const text = JSON.stringify({ instance_group: groups })
  test(`${text} of a load request means ${workers ?? 'the usual number of'} workers`, () => {
    assert.equal(parseConfigOverride(text).options.workers, workers)
  })
}
