/** Mistakes in the flags of `onnxd rollout`. The command must not ask a server then. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rollOut } from '../../../src/command/client/rollout.ts'
import type { CommandInput } from '../../../src/command/program/outcome.ts'
import { ConfigError } from '../../../src/errors.ts'

const run = (flags: CommandInput['flags']): Promise<unknown> =>
  rollOut({
    args: ['iris'],
    flags: { url: 'http://127.0.0.1:1', ...flags },
    rest: [],
    environment: {},
    terminal: { isTerminal: false, canRedraw: false, hasColors: false, columns: 80 },
    print: () => Promise.resolve(),
    progress: () => {},
    signal: new AbortController().signal,
  })

test('flags that do not fit together, and values that are no numbers, are refused', async () => {
  for (const [flags, message] of [
    [{ to: '2', abort: true }, '--to and --abort cannot be used together.'],
    [{ pause: true, resume: true }, '--pause and --resume cannot be used together.'],
    [{ hold: '5' }, '--hold is for a new rollout, with --to.'],
    [{ abort: true, steps: '5' }, '--steps is for a new rollout, with --to.'],
    [{ to: '2', steps: '5,x' }, '--steps must be percentages such as 1,5,25,100, not "x".'],
    [{ to: '2', hold: 'long' }, '--hold must be a number, not "long".'],
    [{ to: '2', 'min-agreement': '-1' }, '--min-agreement must be a number, not "-1".'],
  ] as const) {
    await assert.rejects(run(flags), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.equal(error.message, message)
      return true
    })
  }
  await assert.rejects(run({ to: '2', steps: ' 5, 50' }), /No server responds/)
})
