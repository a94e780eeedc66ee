/** Damaged ONNX files: what this server reads of them itself, and what its workers make of them. */
import assert from 'node:assert/strict'
import { closeSync, fstatSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { foreignFileError } from '../../src/contract/foreign-model.ts'
import { ProtoError, ProtoFile } from '../../src/formats/proto-file.ts'
import { externalLocations } from '../../src/models/sources/external-data.ts'
import { whyNoBatch, whyNotApart } from '../../src/worker/process/onnx/batching/trace.ts'
import { judgeBatching } from '../../src/worker/process/onnx/batching/verdict.ts'
import { classSources } from '../../src/worker/process/onnx/graph/class-sources.ts'
import { readGraph } from '../../src/worker/process/onnx/graph/graph-reader.ts'
import { planOutputs } from '../../src/worker/process/onnx/graph/output-plan.ts'
import { inputsWithoutShape } from '../../src/worker/process/onnx/runtime/onnx-file.ts'
import { reportFigure } from '../faults/figures.ts'
import { assertError, assertUnharmed, heldBy, size, startLaboratory } from '../faults/harness.ts'
import { uploadForm } from '../helpers/archives.ts'
import { classifierModel } from '../helpers/classifier-models.ts'
import { growingLoop, zerosModel } from '../helpers/hostile-onnx.ts'
import { mutate } from '../helpers/mutate.ts'
import { floats, integers, modelBytes, node } from '../helpers/onnx-builder.ts'
import { addModel, externalModel } from '../helpers/onnx-files.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { attack, corpusOf, cpuMs, oneOf } from './campaign.ts'

const COUNT = size(4000, 1_000_000)
const BUDGET_MS = size(2000, 240_000)
const MET = 1_000_000
const LOADS = size(4, 1000)
const LOADS_MS = size(8000, 240_000)
/** Files of a kilobyte take a tenth of a millisecond; what takes seconds is not linear. */
const SLOW_MS = 2000
/** Each so many inputs is also read by functions that take longer. */
const RARE = 20

/** A graph with operators that the proof looks into: shapes, axes, weights, subgraphs, texts. */
const RICH = modelBytes({
  nodes: [
    node('MatMul', ['x', 'w'], 'm'),
    node('Reshape', ['m', 'shape'], 'r'),
    node('Transpose', ['r'], 't', { perm: [0, 2, 1] }),
    node('Flatten', ['t'], 'f', { axis: 1 }),
    node('Softmax', ['f'], 's', { axis: -1 }),
    node('Concat', ['s', 'f'], 'c', { axis: 1 }),
    node('Slice', ['c', 'starts', 'ends', 'axes'], 'y'),
    node('ReduceMean', ['c'], 'z', { axes: [1], keepdims: 0 }),
    node('Shape', ['x'], 'sh'),
  ],
  inputs: [{ name: 'x', type: 'FP32', shape: ['N', 4] }],
  outputs: [
    { name: 'y', type: 'FP32', shape: ['N', 4] },
    { name: 'z', type: 'FP32', shape: ['N'] },
  ],
  constants: {
    w: floats(
      [4, 6],
      Array.from({ length: 24 }, (_, index) => index),
    ),
    shape: integers(0, 2, 3),
    starts: integers(0),
    ends: integers(4),
    axes: integers(1),
  },
})
const SOUND = [
  RICH,
  modelBytes(classifierModel()),
  addModel(1),
  externalModel('weights.bin'),
  zerosModel(),
  growingLoop(4n),
]
/** What every proof is asked with: the inputs of the model as the runtime would name them. */
const INPUTS = [{ name: 'x', datatype: 'FP32', shape: [-1, 4], dimensions: ['N', 4] }] as const
const WORDS = [
  'ZipMap',
  'Identity',
  'Reshape',
  'If',
  'Concat',
  'x',
  '',
  'Loop',
  'ai.onnx.ml',
  'Scan',
].map((text) => Buffer.concat([Buffer.from([0x22, text.length]), Buffer.from(text)]))

function mutant(random: RandomNumbers): Buffer {
  return mutate(oneOf(SOUND, random), random, { words: WORDS, other: oneOf(SOUND, random) })
}

test('damaged models are read in time, with a verdict or an error of the format', async (t) => {
  const file = path.join(temporaryFolder(t), 'm.onnx')
  const descriptor = openSync(file, 'w+')
  t.after(() => closeSync(descriptor))
  let turn = 0
  const readable = { yes: 0, no: 0 }
  const check = async (bytes: Buffer): Promise<void> => {
    ftruncateSync(descriptor, 0)
    writeSync(descriptor, bytes, 0, bytes.length, 0)
    const startedAt = cpuMs()
    try {
      const graph = readGraph(new ProtoFile(descriptor, fstatSync(descriptor).size))
      const reason = whyNoBatch(INPUTS) ?? whyNotApart(graph, INPUTS)
      assert.ok(reason === undefined || reason.length < 1000, reason)
      readable.yes += 1
    } catch (error) {
      assert.ok(error instanceof ProtoError, error instanceof Error ? error.stack : String(error))
      readable.no += 1
    }
    if (turn++ % RARE === 0) {
      assert.ok(judgeBatching(file, INPUTS, 'auto').reason.length < 1100)
      for (const name of inputsWithoutShape(file)) assert.equal(typeof name, 'string')
      for (const name of await externalLocations(file)) assert.equal(typeof name, 'string')
      foreignFileError(file)
      const plan = planOutputs(file)
      const rewritten = plan.rewrite()
      assert.ok(plan.zipMaps.size > 0 || rewritten === undefined)
      for (const [name] of classSources(file)) assert.equal(typeof name, 'string')
    }
    const tookMs = cpuMs() - startedAt
    assert.ok(tookMs < SLOW_MS, `${tookMs} ms`)
  }
  for (const bytes of SOUND) await check(bytes)
  assert.deepEqual(readable, { yes: SOUND.length, no: 0 })
  const corpus = corpusOf('onnx-files')
  const result = await attack({ corpus, count: COUNT, budgetMs: BUDGET_MS, mutant, check })
  assert.ok(readable.yes > result.inputs / 10 && readable.no > result.inputs / 10)
  reportFigure(t, {
    what: 'fuzz: ONNX files',
    goal: '≥ 10⁶, 0 crashes',
    seen: `${result.inputs}, 0 crashes, memory + ${result.grownByMib} MiB, seed ${result.seed}`,
    isMet: result.inputs >= MET,
  })
})

test('the time to read a model grows with its size and not faster', async (t) => {
  const folder = temporaryFolder(t)
  const tookMs = async (pieces: number, piece: Buffer): Promise<number> => {
    const file = path.join(folder, 'm.onnx')
    writeFileSync(file, Buffer.concat(Array.from({ length: pieces }, () => piece)))
    const startedAt = cpuMs()
    judgeBatching(file, INPUTS, 'auto')
    inputsWithoutShape(file)
    planOutputs(file).rewrite()
    await externalLocations(file)
    return cpuMs() - startedAt
  }
  for (const piece of [addModel(1), RICH, Buffer.from([0x3a, 0]), Buffer.from([8, 1])]) {
    const pieces = Math.ceil(size(20_000, 400_000) / piece.length)
    await tookMs(pieces, piece)
    const [once, fourTimes] = [await tookMs(pieces, piece), await tookMs(pieces * 4, piece)]
    // Four times as much in at most sixteen times the time would be a square.
    assert.ok(fourTimes < once * 12 + 500, `${once} ms, then ${fourTimes} ms`)
  }
})

test(
  'workers refuse damaged models or serve them, and the server lives',
  { timeout: LOADS_MS * 2 + 120_000 },
  async (t) => {
    const server = await startLaboratory(t, { settings: { workerMemoryMib: 512, loadTimeout: 10 } })
    const before = heldBy(server)
    const seed = testSeed()
    t.diagnostic(`ONNXD_TEST_SEED=${seed}`)
    const random = randomNumbers(seed)
    const endsAt = performance.now() + LOADS_MS
    const statuses = new Map<number, number>()
    let loads = 0
    const client = async (name: string): Promise<void> => {
      while (loads < LOADS && performance.now() < endsAt) {
        loads += 1
        const bytes = mutant(random)
        const form = uploadForm(name, bytes, 'm.onnx')
        const answer = await server.call('POST', '/models', form)
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        if (answer.status === 200) {
          const body = JSON.stringify({ x: [1], shape: [2], turns: 2 })
          const headers = { 'content-type': 'application/json' }
          const prediction = await server.predict(name, body, headers)
          const isTyped = [200, 400, 504, 507].includes(prediction.status)
          assert.ok(isTyped, `${prediction.text}\n${bytes.toString('base64')}`)
          await server.unregister(name)
        } else {
          assert.ok(answer.status !== 500, `${answer.text}\n${bytes.toString('base64')}`)
          assertError(answer, 400, 504, 507)
        }
      }
    }
    // Two uploads are taken at a time.
    await Promise.all(['one', 'two'].map(client))
    await assertUnharmed(server, before)
    const shown = [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ')
    reportFigure(t, {
      what: 'fuzz: ONNX files, loaded by workers',
      goal: '≥ 10³, 0 × 500',
      seen: `${loads}: ${shown}, seed ${seed}`,
      isMet: loads >= 1000 && !statuses.has(500),
    })
  },
)
