/** `onnxd check --deep`, as people run it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { checkFiles } from '../../../src/command/offline/check.ts'
import type { CommandInput } from '../../../src/command/program/outcome.ts'
import { NO_TERMINAL } from '../../../src/command/terminal/terminal.ts'
import type { DeepCheckReport } from '../../../src/models/deep-check/deep-check.ts'
import { runOnnxd } from '../../helpers/command-line.ts'
import { node, writeModel } from '../../helpers/onnx-builder.ts'
import { CLI, childrenOf, isAlive, temporaryFolder, until } from '../../helpers/server.ts'

const CHANNELS = 16

interface Result {
  readonly ok: boolean
  readonly checked: {
    subject: string
    ok: boolean
    deep?: { model: string; version: string; report: DeepCheckReport }[]
  }[]
}

async function check(...args: string[]): Promise<{ code: number | null; result: Result }> {
  const { code, stdout, stderr } = await runOnnxd(['check', '--deep', '--json', ...args])
  assert.equal(stderr, '')
  return { code, result: JSON.parse(stdout) as Result }
}

/** `level subject` of each finding. */
function findingsOf(report: DeepCheckReport | undefined): string[] {
  return (report?.findings ?? []).map(({ level, subject }) => `${level} ${subject}`)
}

/**
 * A convolution with huge weights and a multiplication with a tiny number. onnxruntime joins the
 * two, and then the sum does not overflow.
 */
function overflowing(folder: string): string {
  const weights = Array<number>(CHANNELS).fill(3e38)
  return writeModel(path.join(folder, 'overflow.onnx'), {
    inputs: [{ name: 'x', type: 'FP32', shape: [1, CHANNELS, 1, 1] }],
    outputs: [{ name: 'y', type: 'FP32', shape: [1, 1, 1, 1] }],
    nodes: [node('Conv', ['x', 'weights'], 'sum'), node('Mul', ['sum', 'tiny'], 'y')],
    constants: {
      weights: { type: 'FP32', shape: [1, CHANNELS, 1, 1], values: weights },
      tiny: { type: 'FP32', shape: [1], values: [1e-38] },
    },
  })
}

test('outputs that differ with graph optimization are found; custom handlers are only loaded', async (t) => {
  const store = temporaryFolder(t)
  overflowing(store)
  mkdirSync(path.join(store, 'words'))
  writeFileSync(path.join(store, 'words', 'service.mjs'), 'export const handle = () => ["x"]\n')
  writeFileSync(path.join(store, 'words', 'model.json'), '{"handler": "service.mjs:handle"}\n')
  const { code, stdout } = await runOnnxd(['check', '--deep', store, '--', '--allow-handlers'])
  assert.equal(code, 1, stdout)
  assert.match(
    stdout,
    /^✗ .*overflow\.onnx\n.*\n\n +overflow 1\.0\n +✓ load +.*\n +✓ requests +The model accepts 4 requests/m,
  )
  assert.match(stdout, /^ +✗ optimization +The outputs differ with and without graph optimization/m)
  assert.match(stdout, /^ +Suggested model\.json\n +\{.*"graphOptimization":"disabled"\}$/m)
  assert.match(stdout, /^ +THREADS +BATCH +REQUESTS\/S +TIME PER BATCH\n +1 +1 +\d/m)
  assert.match(stdout, /words 1\.0\n +✓ load +.*\n +- requests +A custom handler may do anything/)
  assert.match(stdout, /^2 models: 1 with a problem\.$/m)
})

test('the time is bounded, and flags that do not fit together are refused', async () => {
  const { code, result } = await check('examples/iris', '--timeout', '0.2')
  assert.equal(code, 0)
  const report = result.checked[0]?.deep?.[0]?.report
  assert.equal(report?.status, 'stopped')
  assert.match(report.findings.at(-1)?.text ?? '', /stopped after 0\.2 s/)
  for (const [flags, reason] of [
    [{ deep: true, 'no-load': true }, /Use either --deep or --no-load/],
    [{ timeout: '5' }, /--timeout is for --deep/],
    [{ data: '1' }, /--data is for --deep/],
    [{ deep: true, timeout: 'x' }, /--timeout must be a number of seconds/],
  ] as const) {
    const input: CommandInput = {
      args: ['examples/iris'],
      flags,
      rest: [],
      environment: {},
      terminal: NO_TERMINAL,
      print: () => Promise.resolve(),
      progress: () => {},
      signal: new AbortController().signal,
    }
    await assert.rejects(checkFiles(input), { name: 'ConfigError', message: reason })
  }
})

test('a given request takes the place of generated ones', async () => {
  const given = ['examples/iris', '--timeout', '30', '-d', '{"features":[[1,2,3]]}']
  const { result } = await check(...given)
  const report = result.checked[0]?.deep?.[0]?.report
  assert.deepEqual(findingsOf(report), ['ok load', 'warning requests'])
  assert.match(report?.findings[1]?.text ?? '', /^The given request fails, .*: .*features/)
})

test('Ctrl-C ends the processes of a check', async (t) => {
  const environment = { ...process.env, ONNXD_SPARE_WORKERS: '0', ONNXD_WEIGHT_CACHE: 'off' }
  const child = spawn(process.execPath, [CLI, 'check', '--deep', 'examples/iris'], {
    env: environment,
    stdio: 'ignore',
  })
  t.after(() => child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  const workers = await until(() => {
    const pids = childrenOf(pid)
    return pids.length > 1 && pids
  })
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [130, null])
  for (const worker of workers) assert.ok(!isAlive(worker))
})
