/** Tables of pandas and arrays of NumPy give the numbers of Python's onnxruntime. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { serve, temporaryFolder } from '../helpers/server.ts'

const environment = process.env['ONNXD_INTEROP_SKLEARN']
const script = path.resolve('test/interop/pandas_checks.py')

/** Runs the script and returns its output. */
async function run(...args: string[]): Promise<string> {
  const python = path.join(environment ?? '', 'bin', 'python')
  const child = spawn(python, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const [code] = await once(child, 'close')
  assert.equal(code, 0, output)
  return output
}

test(
  'pandas and NumPy: every format gives the numbers of onnxruntime, also for missing values',
  {
    skip:
      environment === undefined &&
      'needs the Python packages pandas, pyarrow and skl2onnx; run npm run test:interop',
  },
  async (t) => {
    const folder = temporaryFolder(t)
    await run('prepare', folder)
    const models = ['numbers', 'mixed'].map((name) => path.join(folder, name))
    const server = await serve(t, models, { threads: 1 })
    const output = await run('check', folder, new URL(server.inferenceUrl).host)
    const checks = output.match(/^ok /gm)?.length ?? 0
    t.diagnostic(`${checks} checks with pandas and NumPy passed`)
    assert.ok(checks >= 100 && output.endsWith('done\n'), output)
  },
)
