/** Models whose outputs are maps are written anew, with tensors in their place. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { DEFAULT_WORKER_OPTIONS } from '../../../../../src/worker/process/handler.ts'
import { planOutputs } from '../../../../../src/worker/process/onnx/graph/output-plan.ts'
import { loadFile } from '../../../../../src/worker/process/onnx/runtime/load-file.ts'
import { OnnxSession } from '../../../../../src/worker/process/onnx/runtime/session.ts'
import {
  SPECIES,
  classifierModel,
  expectedClass,
  expectedScores,
} from '../../../../helpers/classifier-models.ts'
import { mutate } from '../../../../helpers/mutate.ts'
import { floats, modelBytes, node, writeModel } from '../../../../helpers/onnx-builder.ts'
import type { ModelSource } from '../../../../helpers/onnx-builder.ts'
import { randomNumbers, testSeed } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import type { Cleanup } from '../../../../helpers/server.ts'

const ROWS = [
  [0.5, 0.25, -1, 0],
  [0, 0.125, 2, 1],
]
const MUTANTS = 600

function load(t: Cleanup, file: string): OnnxSession {
  const session = OnnxSession.load(
    file,
    {},
    {
      modelName: 'tested',
      modelPath: file,
      handler: 'onnx',
      batchSize: 1,
      gpu: undefined,
      options: DEFAULT_WORKER_OPTIONS,
    },
  )
  t.after(() => session.close())
  return session
}

function loadSource(t: Cleanup, source: ModelSource): OnnxSession {
  return load(t, writeModel(path.join(temporaryFolder(t), 'm.onnx'), source))
}

/** Runs both rows and compares label and scores. */
function assertClassifies(session: OnnxSession, classes: readonly (string | bigint)[]): void {
  const x = { datatype: 'FP32', shape: [2, 4], data: Float32Array.from(ROWS.flat()) } as const
  const [label, scores] = session.run([x], ['label', 'probabilities'])
  assert.ok(label !== undefined && scores !== undefined)
  assert.deepEqual(
    [...label.data],
    ROWS.map((row) => classes[expectedClass(row)]),
  )
  assert.deepEqual([scores.datatype, scores.shape], ['FP32', [2, 3]])
  const wanted = ROWS.flatMap((row) => expectedScores(row))
  for (const [index, value] of wanted.entries()) {
    assert.ok(Math.abs(Number(scores.data[index]) - value) < 1e-6)
  }
}

test('the scores in front of ZipMap take the place of its maps', (t) => {
  const session = loadSource(t, classifierModel())
  assert.deepEqual(session.outputs, [
    { name: 'label', datatype: 'BYTES', shape: [-1], dimensions: [''] },
    { name: 'probabilities', datatype: 'FP32', shape: [-1, 3], dimensions: ['', 3] },
  ])
  assert.deepEqual([...session.zipMaps], [['probabilities', { kind: 'texts', texts: SPECIES }]])
  assert.deepEqual(session.notServed, [])
  assertClassifies(session, SPECIES)
})

test('the classes of a ZipMap may be numbers', (t) => {
  const session = loadSource(t, classifierModel({ classes: [10, -2, 30] }))
  const [classes] = [...session.zipMaps.values()]
  assert.deepEqual(classes, { kind: 'numbers', numbers: [10, -2, 30] })
  assertClassifies(session, [10n, -2n, 30n])
})

test('an Identity may follow the ZipMap in the file', (t) => {
  const behind = [
    node('Identity', ['zipped'], 'between'),
    node('Identity', ['between'], 'probabilities'),
  ]
  const file = writeModel(path.join(temporaryFolder(t), 'm.onnx'), classifierModel({ behind }))
  const plan = planOutputs(file)
  assert.deepEqual([...plan.zipMaps.keys()], ['probabilities'])
  assertClassifies(load(t, file), SPECIES)
})

test('a label that is declared as one row has any number of rows, as its model computes', (t) => {
  const session = loadSource(t, classifierModel({ classes: [0, 1, 2], labelRows: 1 }))
  assert.deepEqual(session.outputs[0]?.shape, [-1])
  assertClassifies(session, [0n, 1n, 2n])
})

test('a model that uses no operator set of ONNX gets the one of Identity', (t) => {
  const source = classifierModel()
  const [classifier, , zipMap] = source.nodes
  assert.ok(classifier !== undefined && zipMap !== undefined)
  const bytes = modelBytes({
    ...source,
    nodes: [{ ...classifier, outputs: ['label', 'scores'] }, zipMap],
  })
  // The builder writes the version of ONNX's own operators after that of the format.
  const own = Buffer.from([0x42, 2, 0x10, 17])
  const at = bytes.indexOf(own)
  assert.ok(at > 0)
  const file = path.join(temporaryFolder(t), 'm.onnx')
  writeFileSync(file, Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + own.length)]))
  const rewritten = planOutputs(file).rewrite()
  assert.ok(rewritten?.subarray(-4).equals(Buffer.from([0x42, 2, 0x10, 13])))
  assertClassifies(load(t, file), SPECIES)
})

test('weights in another file are found for the model that is written anew', (t) => {
  const folder = temporaryFolder(t)
  const weights = Float32Array.from({ length: 16 }, (_, index) => (index % 5 === 0 ? 1 : 0))
  writeFileSync(path.join(folder, 'w.bin'), new Uint8Array(weights.buffer))
  const source = classifierModel()
  const nodes = source.nodes.map((one) => ({
    ...one,
    inputs: one.inputs.map((name) => (name === 'x' ? 'same' : name)),
  }))
  const file = writeModel(path.join(folder, 'm.onnx'), {
    ...source,
    nodes: [node('MatMul', ['x', 'w'], 'same'), ...nodes],
    constants: { w: { type: 'FP32', shape: [4, 4], location: 'w.bin' } },
  })
  const session = load(t, file)
  assert.deepEqual([...session.zipMaps.keys()], ['probabilities'])
  assertClassifies(session, SPECIES)
})

test('everything but the maps is copied byte by byte', (t) => {
  const file = writeModel(path.join(temporaryFolder(t), 'm.onnx'), {
    ...classifierModel(),
    constants: {
      unused: floats(
        [1000],
        Array.from({ length: 1000 }, (_, index) => index),
      ),
    },
  })
  const [before, after] = [readFileSync(file), planOutputs(file).rewrite()]
  const weights = Buffer.from(Float32Array.from({ length: 1000 }, (_, index) => index).buffer)
  assert.ok(after !== undefined && after.length < before.length)
  assert.ok(after.includes(weights))
  assert.equal(after.includes('ZipMap'), true, 'the name of the node stays')
  assert.equal(after.includes('ai.onnx.ml'), true)
})

test('tensors are served beside sequences, which are listed', (t) => {
  const session = loadSource(t, {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
    outputs: [
      { name: 'parts', type: 'FP32', kind: 'sequence' },
      { name: 'y', type: 'FP32', shape: ['N', 4] },
    ],
    nodes: [node('Relu', ['x'], 'y'), node('SequenceConstruct', ['x', 'y'], 'parts')],
  })
  assert.deepEqual(
    session.outputs.map(({ name }) => name),
    ['y'],
  )
  assert.deepEqual(session.notServed, [
    {
      name: 'parts',
      reason: 'It is a sequence; only tensors are served.',
      remedy: 'Convert it in the model, for example with the operator ConcatFromSequence.',
    },
  ])
  const x = { datatype: 'FP32', shape: [1, 4], data: Float32Array.of(1, -1, 2, -2) } as const
  assert.deepEqual([...(session.run([x], ['y'])[0]?.data ?? [])], [1, 0, 2, 0])
})

test('if onnxruntime rejects the model that was written anew, the file is loaded', (t) => {
  const file = writeModel(path.join(temporaryFolder(t), 'm.onnx'), classifierModel())
  const plan = { ...planOutputs(file), rewrite: () => Buffer.from('no model') }
  const session = loadFile(file, plan, {})
  t.after(() => session.dispose())
  assert.deepEqual(
    session.outputMetadata.map(({ name, isTensor }) => [name, isTensor]),
    [
      ['label', true],
      ['probabilities', false],
    ],
  )
})

test('maps whose keys cannot be read are listed, and the rest is served', (t) => {
  const source = classifierModel()
  const attributes = { classlabels_strings: ['a', 'not \uFFFD readable', 'c'] }
  const nodes = source.nodes.map((one) =>
    one.operator === 'ZipMap' ? { ...one, attributes } : one,
  )
  const session = loadSource(t, { ...source, nodes })
  assert.deepEqual(
    session.notServed.map(({ name, reason, remedy }) => [name, reason, remedy]),
    [
      [
        'probabilities',
        'It is a sequence of maps; only tensors are served.',
        "Export the model with options={'zipmap': False}.",
      ],
    ],
  )
})

test('a model without a tensor as output is rejected with the reason', (t) => {
  const source: ModelSource = {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
    outputs: [{ name: 'parts', type: 'FP32', kind: 'sequence' }],
    nodes: [node('SequenceConstruct', ['x'], 'parts')],
  }
  assert.throws(() => loadSource(t, source), {
    message:
      'The model has no tensor as output. Output "parts": It is a sequence; only tensors are served. ' +
      'Convert it in the model, for example with the operator ConcatFromSequence.',
  })
})

test('damaged models are never written anew in another way than a model can be read', (t) => {
  const seed = testSeed()
  t.diagnostic(`ONNXD_TEST_SEED=${seed}`)
  const random = randomNumbers(seed)
  const sound = [
    modelBytes(classifierModel()),
    modelBytes(classifierModel({ classes: [1, 2, 3], labelRows: 1 })),
  ]
  const words = ['ZipMap', 'Identity', 'probabilities', 'zipped'].map((text) => Buffer.from(text))
  const file = path.join(temporaryFolder(t), 'm.onnx')
  let rewrites = 0
  for (let turn = 0; turn < MUTANTS; turn += 1) {
    const [one = Buffer.alloc(0), other = one] = turn % 2 === 0 ? sound : sound.toReversed()
    writeFileSync(file, mutate(one, random, { words, other }))
    const plan = planOutputs(file)
    const bytes = plan.rewrite()
    if (bytes === undefined) continue
    rewrites += 1
    writeFileSync(file, bytes)
    // What was written is a readable model: its outputs are tensors now.
    const again = planOutputs(file)
    for (const name of plan.zipMaps.keys()) assert.ok(!again.kinds.has(name), `seed ${seed}`)
  }
  assert.ok(rewrites > MUTANTS / 20, String(rewrites))
})
