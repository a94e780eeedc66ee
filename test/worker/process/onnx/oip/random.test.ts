/** Random requests of every datatype and form through a real worker process. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkForms, checkMutations } from '../../../../helpers/infer-properties.ts'
import { workerSend } from '../../../../helpers/infer-worker.ts'
import { randomNumbers, testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()

test(
  `a tensor gives the same bytes in all forms, and damaged requests get a 4xx (ONNXD_TEST_SEED=${seed})`,
  { timeout: 60_000 },
  async (t) => {
    const send = await workerSend(t)
    await checkForms(send, randomNumbers(seed), 6)
    const statuses = await checkMutations(send, randomNumbers(seed + 1), 500)
    assert.ok(statuses.has(200) && statuses.has(400), [...statuses].join())
    // The same worker still serves.
    await checkForms(send, randomNumbers(seed + 2), 1)
  },
)
