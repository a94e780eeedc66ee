import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { checkGpus } from '../../../../src/command/offline/doctor/gpus.ts'
import { temporaryFolder } from '../../../helpers/server.ts'

/** A folder as the driver of NVIDIA makes it. */
function driverOf(t: TestContext, models: readonly string[]): string {
  const driver = temporaryFolder(t)
  for (const [index, model] of models.entries()) {
    const folder = path.join(driver, `0000:0${index}:00.0`)
    mkdirSync(folder)
    writeFileSync(path.join(folder, 'information'), `Model: \t\t ${model}\nIRQ: 1\n`)
  }
  return driver
}

test('doctor shows GPUs and whether the server uses them', async (t) => {
  const driver = driverOf(t, ['NVIDIA H200', 'NVIDIA \u001b[31mH200'])
  const states = async (gpus: number, backends: string[]) =>
    (await checkGpus({ gpus }, backends, driver)).map(({ state, text }) => [state, text])
  const names = 'NVIDIA H200, NVIDIA  [31mH200'
  assert.deepEqual(await states(2, ['cpu', 'cuda']), [['ok', names]])
  assert.deepEqual(await states(0, ['cpu', 'cuda']), [['warning', `${names}; not used`]])
  assert.deepEqual(await states(3, ['cuda']), [['problem', `${names}; the settings want 3`]])
  const without = `${names}; this onnxruntime has no CUDA, so models run on the CPU`
  assert.deepEqual(await states(0, ['cpu']), [['warning', without]])
  assert.deepEqual(await states(1, ['cpu']), [['problem', without]])
})

test('a machine without a GPU needs no line, unless one is wanted', async (t) => {
  const driver = driverOf(t, [])
  assert.deepEqual(await checkGpus({ gpus: 0 }, ['cpu'], driver), [])
  assert.deepEqual(await checkGpus({ gpus: 0 }, ['cpu'], path.join(driver, 'none')), [])
  const [problem] = await checkGpus({ gpus: 1 }, ['cpu'], driver)
  assert.match(problem?.text ?? '', /want 1, but the driver of NVIDIA shows none/)
})
