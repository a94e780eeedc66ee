/** `onnxd check` and `onnxd types` of pipelines, whose steps are models in the same folder. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { after, test } from 'node:test'
import { runOnnxd } from '../../helpers/command-line.ts'
import { identityGraph, writeModelFolder } from '../../helpers/onnx-builder.ts'
import { writeEnsemble, writePipeline } from '../../helpers/pipelines.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import type { Cleanup } from '../../helpers/server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const FOLDER = temporaryFolder(ofFile)
const echo = (model: string, from: string, to: string) => {
  return { model, inputs: { x: from }, outputs: { y: to } }
}
writeModelFolder(FOLDER, 'rows', identityGraph({ type: 'FP32', shape: ['N', 4] }))
writeModelFolder(FOLDER, 'whole', identityGraph({ type: 'INT64', shape: ['N', 4] }))
const chain = writePipeline(FOLDER, 'chain', [
  echo('rows', 'in', 'mid'),
  echo('rows', 'mid', 'out'),
])
const misfit = writePipeline(FOLDER, 'misfit', [echo('rows', 'in', 'm'), echo('whole', 'm', 'out')])
const lost = writePipeline(FOLDER, 'lost', [
  echo('rows', 'in', 'mid'),
  echo('nobody', 'mid', 'out'),
])
const ensemble = writeEnsemble(
  FOLDER,
  'ensemble',
  [echo('rows', 'in', 'out')],
  {
    inputs: [{ name: 'in', type: 'FP32', dims: [4] }],
    outputs: [{ name: 'out', type: 'FP32', dims: [4] }],
  },
  'max_batch_size: 8 optimization { graph { level: 1 } }',
)

test('check names the steps of a pipeline and what does not fit', async () => {
  const { code, stdout, stderr } = await runOnnxd(['check', chain, misfit, lost])
  const text = stdout.replaceAll(/\s+/g, ' ')
  assert.equal(code, 1, stderr)
  assert.match(text, /a pipeline of rows\. inputs: in FP32 \[-1,4\]\. outputs: out FP32 \[-1,4\]/)
  assert.match(text, /a pipeline of rows, whole\. Step 2 \(model whole\) needs "m" as INT64/)
  assert.match(text, /not in the folder beside it, so not checked: nobody/)
  assert.match(text, /3 models: 1 with a problem/)
})

test('check names the pipelines that call one another in a circle', async () => {
  const folder = temporaryFolder(ofFile)
  const back = writePipeline(folder, 'back', [echo('forth', 'x', 'y')])
  writePipeline(folder, 'forth', [echo('back', 'x', 'y')])
  const { code, stdout, stderr } = await runOnnxd(['check', back])
  assert.equal(code, 1, stderr)
  assert.match(stdout.replaceAll(/\s+/g, ' '), /in a circle: back → forth → back/)
})

test('check says how each key of an ensemble is used', async () => {
  const { code, stdout } = await runOnnxd(['check', '--json', ensemble])
  assert.equal(code, 0, stdout)
  const [{ findings }] = (JSON.parse(stdout) as { checked: [{ findings: Finding[] }] }).checked
  const outcomes = new Map(findings.map(({ key, outcome }) => [key, outcome]))
  for (const key of ['platform', 'max_batch_size', 'input', 'output', 'ensemble_scheduling'])
    assert.equal(outcomes.get(key), 'read', key)
  assert.equal(outcomes.get('optimization'), 'ignored')
  const file = await runOnnxd(['check', path.join(ensemble, 'config.pbtxt')])
  assert.doesNotMatch(file.stdout, /ignored\s+output/)
})

interface Finding {
  readonly key: string
  readonly outcome: string
}

test('types writes the inputs and outputs of a pipeline', async () => {
  const { code, stdout, stderr } = await runOnnxd(['types', chain, '--output', '-'])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /readonly in: Tensor<'float32', readonly \[number, 4\]>/)
  const failed = await runOnnxd(['types', lost, '--output', '-'])
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /Step 2 \(model nobody\)/)
})
