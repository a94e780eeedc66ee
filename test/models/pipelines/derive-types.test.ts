import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PipelineSettings } from '../../../src/model-folder/pipeline-settings.ts'
import type { DeclaredTensors } from '../../../src/models/pipelines/declared-tensors.ts'
import { deriveTypes } from '../../../src/models/pipelines/derive-types.ts'
import type { PipelineTypes, StepTensors } from '../../../src/models/pipelines/derive-types.ts'

const tensor = (name: string, datatype: string, ...shape: number[]) => {
  return { name, datatype, shape, dimensions: shape.map((size) => (size < 0 ? '' : size)) }
}
type Tensor = ReturnType<typeof tensor>

function model(
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  kind: Partial<StepTensors> = {},
): StepTensors {
  return { inputs, outputs, takesImages: false, takesTexts: false, ...kind }
}

/** A chain `a → b → c` of models with the input `x` and the output `y`. */
const CHAIN: PipelineSettings = {
  steps: [
    { model: 'one', inputs: { x: 'a' }, outputs: { y: 'b' } },
    { model: 'two', inputs: { x: 'b' }, outputs: { y: 'c' } },
  ],
}
const derive = (
  steps: readonly (StepTensors | undefined)[],
  declared?: Partial<DeclaredTensors>,
): PipelineTypes =>
  deriveTypes(CHAIN, steps, declared && { inputs: [], outputs: [], maxBatchSize: 0, ...declared })

const ROWS = model([tensor('x', 'FP32', -1, 4)], [tensor('y', 'FP32', -1, 4)])

test('inputs and outputs have the names of the pipeline and the types of the models', () => {
  const wide = model([tensor('x', 'FP32', -1, -1)], [tensor('y', 'FP32', -1, -1)])
  const { inputs, outputs, problem } = derive([wide, ROWS])
  assert.deepEqual(inputs, [tensor('a', 'FP32', -1, -1)])
  assert.deepEqual(outputs, [tensor('c', 'FP32', -1, 4)])
  assert.equal(problem, undefined)
})

test('without a model the types that need it are missing', () => {
  const { inputs, outputs, problem } = derive([ROWS, undefined])
  assert.deepEqual(inputs, [tensor('a', 'FP32', -1, 4)])
  assert.deepEqual([outputs, problem], [undefined, undefined])
})

test('steps that do not fit are named with both types', () => {
  const cases: [steps: readonly StepTensors[], text: RegExp][] = [
    [
      [ROWS, model([tensor('x', 'INT64', -1, 4)], ROWS.outputs as Tensor[])],
      /^Step 2 \(model two\) needs "b" as INT64 \[-1,4\], but it is FP32 \[-1,4\] by Step 1/,
    ],
    [
      [ROWS, model([tensor('x', 'FP32', -1, 3)], ROWS.outputs as Tensor[])],
      /needs "b" as FP32 \[-1,3\]/,
    ],
    [[model([tensor('z', 'FP32', 1)], []), ROWS], /no input "x"\. Its inputs are: "z"\./],
    [[model(ROWS.inputs as Tensor[], []), ROWS], /no output "y"\. Its outputs are: none\./],
    [
      [
        model([...(ROWS.inputs as Tensor[]), tensor('k', 'FP32', 1)], ROWS.outputs as Tensor[]),
        ROWS,
      ],
      /does not set the input "k"/,
    ],
  ]
  for (const [steps, text] of cases) assert.match(String(derive(steps).problem), text)
})

test('shapes of different ranks may differ in dimensions of size 1, which a run checks', () => {
  const flat = model([tensor('x', 'FP32', -1)], [tensor('y', 'FP32', -1)])
  assert.equal(derive([ROWS, flat]).problem, undefined)
})

test('a declaration gives the types, and the models must fit to it', () => {
  const inputs = [tensor('a', 'FP32', -1, 4)]
  const outputs = [tensor('c', 'FP32', -1, 4)]
  assert.deepEqual(derive([undefined, undefined], { inputs, outputs }).outputs, outputs)
  const wrong = derive([ROWS, ROWS], { inputs, outputs: [tensor('c', 'INT8', -1, 4)] })
  assert.match(String(wrong.problem), /declares "c" as INT8 \[-1,4\], but it is FP32/)
  const missing = derive([ROWS, ROWS], { inputs: [tensor('z', 'FP32', 1)], outputs })
  assert.match(String(missing.problem), /does not declare the input "a"/)
})

test('an input is an image file if only image models read it, and a text for text models', () => {
  const image = model(ROWS.inputs as Tensor[], ROWS.outputs as Tensor[], { takesImages: true })
  assert.deepEqual(derive([image, ROWS]).images, ['a'])
  assert.deepEqual(derive([ROWS, image]).images, [])
  const text = model([tensor('input_ids', 'INT64', -1, -1)], [], { takesTexts: true })
  const { inputs, outputs } = derive([text, undefined])
  assert.deepEqual(
    inputs?.map(({ datatype, anyShape }) => [datatype, anyShape]),
    [['BYTES', true]],
  )
  assert.equal(outputs, undefined)
})
