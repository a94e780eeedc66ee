import assert from 'node:assert/strict'
import test from 'node:test'
import { followPage } from './documented-commands.ts'

test(
  'a newcomer who follows the README word for word sees what it shows',
  { timeout: 120_000 },
  async (t) => {
    assert.equal(await followPage(t, 'README.md'), 2)
  },
)
