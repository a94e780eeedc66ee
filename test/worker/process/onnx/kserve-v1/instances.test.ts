/** KServe's first protocol in the worker: instances in, predictions out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import { answerOf, errorOf } from '../../../../helpers/infer.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import type { Dimension, ModelSource } from '../../../../helpers/onnx-builder.ts'
import { bodyRequest, loadModel, modelPath, predict } from '../../../../helpers/onnx-model.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

/** Predictions of a body, or the error with its status in front. */
async function ask(model: LoadedModel, body: unknown): Promise<unknown> {
  const request = bodyRequest(body, '', [[DIALECT_HEADER, 'v1']])
  const answer = answerOf(await predict(model, request))
  if (answer.status !== 200) return `${answer.status} ${errorOf(answer)}`
  const { predictions, ...rest } = JSON.parse(answer.body.toString())
  assert.deepEqual(rest, {})
  return predictions
}

test('one input takes a list of values, one output gives a list of values', async (t) => {
  const model = await loadModel(t, modelPath('scores4', '1'))
  const rows = [
    [1, 5, 10, 4],
    [0, 0, 0, 1],
  ]
  assert.deepEqual(await ask(model, { instances: rows }), rows)
  assert.deepEqual(await ask(model, { signature_name: 'x', inputs: rows }), rows)
  assert.deepEqual(await ask(model, { inputs: { INPUT0: rows } }), rows)
  assert.deepEqual(await ask(model, { instances: rows.map((row) => ({ INPUT0: row })) }), rows)
  assert.deepEqual(await ask(model, { instances: [] }), [])
  const flat = await loadModel(t, modelPath('raw_fp32', '1'))
  assert.deepEqual(await ask(flat, { instances: [1, 2, 3] }), [1, 2, 3])
})

test('several inputs and outputs are objects', async (t) => {
  const model = await loadModel(t, modelPath('simple', '1'), { options: { maxBatchSize: 2 } })
  const row = (value: number): number[] => Array.from({ length: 16 }, () => value)
  const instances = [3, 5].map((value) => ({ INPUT1: row(1), INPUT0: row(value) }))
  const predictions = [
    { OUTPUT0: row(4), OUTPUT1: row(2) },
    { OUTPUT0: row(6), OUTPUT1: row(4) },
  ]
  assert.deepEqual(await ask(model, { instances }), predictions)
  const columns = { INPUT0: [row(3), row(5)], INPUT1: [row(1), row(1)] }
  assert.deepEqual(await ask(model, { inputs: columns }), predictions)
  const refused: [unknown, RegExp][] = [
    [{ instances: [...instances, ...instances] }, /batch dimension of the request is 4/],
    [
      { instances: [row(1)] },
      /instances that are not objects is only possible for a model with one input/,
    ],
    [{ instances: [instances[0], { INPUT0: row(1) }] }, /Instance 1 has no input "INPUT1"/],
    [{ instances: [{ ...instances[0], INPUT2: 1 }] }, /Unknown input "INPUT2"/],
    [
      { instances: [{ INPUT0: row(1), INPUT1: [1] }, instances[0]] },
      /have different shapes, \[1\] and \[16\]/,
    ],
    [{ instances: [instances[0], 5] }, /expected an object/],
    [{ inputs: { INPUT0: [row(1)] } }, /Missing input "INPUT1"/],
    [{ inputs: { INPUT0: [row(1)], INPUT1: [row(1), row(2)] } }, /differ in their batch dimension/],
  ]
  for (const [body, pattern] of refused) assert.match(String(await ask(model, body)), pattern)
})

test('what is no list of instances is refused', async (t) => {
  const model = await loadModel(t, modelPath('scores4', '1'))
  const refused: [unknown, RegExp][] = [
    [{}, /^400 The request has no "instances"/],
    [{ instances: 5 }, /^400 "instances" must be a list, not 5/],
    [{ instances: null }, /^400 "instances" must be a list/],
    [{ instances: [[1, 2, 3, 4]], inputs: [] }, /^400 The request has "instances" twice/],
    // Four elements could be one row, but they were sent as four instances.
    [{ instances: [1, 2, 3, 4] }, /^400 Input "INPUT0": expected FP32 \[-1,4\].*, got shape \[4\]/],
    [{ instances: [[1, 2], [3]] }, /^400 .*ragged/],
    ['', /^400 Malformed JSON/],
    ['[[1,2,3,4]]', /^400 .*expected an object/],
    ['{"instances":[[1,2,3,4]]}x', /^400 .*the end of the body/],
  ]
  for (const [body, pattern] of refused) assert.match(String(await ask(model, body)), pattern)
  const fixed = await loadModel(t, modelPath('nan_inf_output', '1'))
  assert.match(
    String(await ask(fixed, { instances: [1] })),
    /^400 Output "OUTPUT0" does not have one element for each instance/,
  )
})

test('A7: outputs in a dimension of their own are never taken apart by instance', async (t) => {
  const detector = (k: Dimension, n: Dimension = 'N'): ModelSource => ({
    inputs: [{ name: 'x', type: 'FP32', shape: [n, 2] }],
    outputs: [
      { name: 'found', type: 'INT64', shape: [2, k] },
      { name: 'places', type: 'INT64', shape: [k, 2] },
    ],
    nodes: [
      { operator: 'NonZero', inputs: ['x'], outputs: ['found'] },
      {
        operator: 'Transpose',
        inputs: ['found'],
        outputs: ['places'],
        attributes: { perm: [1, 0] },
      },
    ],
  })
  // Two detections, both in the first of two instances.
  const instances = [
    [1, 1],
    [0, 0],
  ]
  const places = [
    [0, 0],
    [0, 1],
  ]
  for (const graph of [
    detector('k'),
    detector(''),
    detector('', ''),
    detector('unk__2', 'unk__1'),
  ]) {
    const single = { ...graph, outputs: graph.outputs.slice(1) }
    const model = await loadModel(t, writeModelFolder(temporaryFolder(t), 'm', single))
    assert.deepEqual(await ask(model, { instances }), { places })
    assert.deepEqual(await ask(model, { inputs: { x: instances } }), { places })
    assert.deepEqual(await ask(model, { instances: [[1, 1]] }), { places })
    assert.deepEqual(await ask(model, { instances: [[0, 0]] }), { places: [] })
    const both = await loadModel(t, writeModelFolder(temporaryFolder(t), 'm', graph))
    const answer = await ask(both, { instances })
    assert.deepEqual(answer, {
      found: [
        [0, 0],
        [0, 1],
      ],
      places,
    })
  }
})

test('A7: outputs that have the symbol of the inputs, or as many rows, are taken apart', async (t) => {
  const instances = [
    [1, 2],
    [3, 4],
  ]
  for (const [first, second] of [
    ['N', 'N'],
    ['', ''],
    ['N', ''],
    ['unk__1', 'unk__2'],
  ] as const) {
    const graph: ModelSource = {
      ...identityGraph({ type: 'FP32', shape: [first, 2] }),
      outputs: [{ name: 'y', type: 'FP32', shape: [second, 2] }],
    }
    const model = await loadModel(t, writeModelFolder(temporaryFolder(t), 'm', graph))
    assert.deepEqual(await ask(model, { instances }), instances)
  }
  const named: ModelSource = {
    ...identityGraph({ type: 'FP32', shape: ['N', 2] }),
    outputs: [{ name: 'y', type: 'FP32', shape: ['M', 2] }],
  }
  const folder = writeModelFolder(temporaryFolder(t), 'm', named)
  assert.deepEqual(await ask(await loadModel(t, folder), { instances }), { y: instances })
  // The configuration knows better than the names.
  const configured = await loadModel(t, folder, { options: { maxBatchSize: 8 } })
  assert.deepEqual(await ask(configured, { instances }), instances)
})
