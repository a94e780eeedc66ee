import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionsFor } from '../../../../src/routes/http/connections/connection-limits.ts'

test('the number of connections depends on the files that may be open', () => {
  assert.deepEqual(
    [64, 256, 1024, 65_536, 1_048_576, Number.POSITIVE_INFINITY].map(connectionsFor),
    [16, 64, 256, 10_000, 10_000, 10_000],
  )
})
