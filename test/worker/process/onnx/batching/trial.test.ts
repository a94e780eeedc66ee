/**
 * The trial that backs up the proof. It does not know operators and detects by results whether a
 * graph mixes samples.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { DEFAULT_WORKER_OPTIONS } from '../../../../../src/worker/process/handler.ts'
import { findDifference } from '../../../../../src/worker/process/onnx/batching/trial.ts'
import { OnnxSession } from '../../../../../src/worker/process/onnx/runtime/session.ts'
import type { Tensor } from '../../../../../src/worker/process/onnx/tensors/tensor.ts'
import { floats, node, writeModel } from '../../../../helpers/onnx-builder.ts'
import type { ModelSource } from '../../../../helpers/onnx-builder.ts'
import { randomGraph } from '../../../../helpers/random-graphs.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

/** Name of an output that the trial finds different in company, `undefined` for none. */
function triedWith(
  t: TestContext,
  model: ModelSource,
  sample: readonly Tensor[],
): string | undefined {
  const modelPath = writeModel(path.join(temporaryFolder(t), 'model.onnx'), model)
  const context = { modelName: 'm', modelPath, handler: '', batchSize: 1, gpu: undefined }
  const session = OnnxSession.load(modelPath, {}, { ...context, options: DEFAULT_WORKER_OPTIONS })
  const names = session.outputs.map(({ name }) => name)
  const difference = findDifference((inputs) => session.run(inputs, names), sample)
  session.close()
  if (difference === undefined) return undefined
  return 'failure' in difference ? difference.failure : names[difference.output]
}

function rows(width: number, ...values: readonly number[]): Tensor {
  const data = Float32Array.from(values)
  return { datatype: 'FP32', shape: [data.length / width, width], data }
}

test('random graphs: what mixes samples is found, what does not passes (seed 3)', (t) => {
  const random = randomNumbers(3)
  for (let index = 0; index < 60; index++) {
    const graph = randomGraph(random, index % 2 === 1)
    const values = Array.from({ length: graph.width }, () => random.next() * 4 - 2)
    const found = triedWith(t, graph.model, [rows(graph.width, ...values)])
    assert.equal(found !== undefined, graph.mixes, `graph ${index}: ${graph.operators}`)
  }
})

const value = (name: string, width: number) =>
  ({ name, type: 'FP32', shape: ['N', width] }) as const

test('A3: a small column that changes beside large ones is no rounding', (t) => {
  const model: ModelSource = {
    nodes: [
      node('Softmax', ['x'], 'p', { axis: 0 }),
      node('Mul', ['x', 'million'], 'large'),
      node('Concat', ['large', 'p'], 'y', { axis: 1 }),
    ],
    constants: { million: floats([], [1e6]) },
    inputs: [value('x', 2)],
    outputs: [value('y', 4)],
  }
  assert.equal(triedWith(t, model, [rows(2, 1, 2)]), 'y')
  assert.equal(triedWith(t, model, [rows(2, 0, 0)]), 'y')
})

test('A2: a scale of the whole tensor is found from a request of the usual range', (t) => {
  const model: ModelSource = {
    nodes: [
      node('DynamicQuantizeLinear', ['x'], ['q', 's', 'z']),
      node('DequantizeLinear', ['q', 's', 'z'], 'y'),
    ],
    inputs: [value('x', 4)],
    outputs: [value('y', 4)],
  }
  assert.equal(triedWith(t, model, [rows(4, 0, 1, 0.5, 0.25)]), 'y')
})

test('tokens stay tokens that the model knows', (t) => {
  const model: ModelSource = {
    nodes: [node('Gather', ['words', 'ids'], 'y')],
    constants: { words: floats([3, 2], [1, 2, 3, 4, 5, 6]) },
    inputs: [{ name: 'ids', type: 'INT64', shape: ['N', 'sequence'] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['N', 'sequence', 2] }],
  }
  const ids: Tensor = { datatype: 'INT64', shape: [1, 4], data: BigInt64Array.of(0n, 2n, 2n, 1n) }
  assert.equal(triedWith(t, model, [ids]), undefined)
})
