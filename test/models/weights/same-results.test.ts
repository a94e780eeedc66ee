/** Models of every kind give the same results with cached weights as without. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { DEFAULT_WORKER_OPTIONS } from '../../../src/worker/process/handler.ts'
import { MappedWeights } from '../../../src/worker/process/onnx/runtime/mapped-weights.ts'
import { OnnxSession } from '../../../src/worker/process/onnx/runtime/session.ts'
import type { TensorSpec } from '../../../src/worker/process/onnx/tensors/metadata.ts'
import { allocateData, bytesOfData } from '../../../src/worker/process/onnx/tensors/tensor.ts'
import type { Tensor } from '../../../src/worker/process/onnx/tensors/tensor.ts'
import { modelBytes } from '../../helpers/onnx-builder.ts'
import { randomNumbers } from '../../helpers/random.ts'
import type { RandomNumbers } from '../../helpers/random.ts'
import { temporaryFolder } from '../../helpers/server.ts'
import { sharedPath, testShared } from '../../helpers/shared.ts'
import { openCache } from '../../helpers/weight-cache.ts'
import { RANDOM_MODEL, WEIGHT_MODELS, writeExternalModel } from '../../helpers/weight-models.ts'

const SEED = 20_261
const RUNS = 10

const CONTEXT = {
  modelName: 'm',
  modelPath: '',
  handler: 'onnx',
  batchSize: 1,
  gpu: undefined,
  options: DEFAULT_WORKER_OPTIONS,
}

/** A random tensor with numbers that are valid as indices. */
function tensorFor({ datatype, shape: declared }: TensorSpec, random: RandomNumbers): Tensor {
  assert.ok(datatype !== 'BYTES')
  const size = random.integer(1, 5)
  const shape = declared.map((each) => (each < 0 ? size : each))
  const data = allocateData(
    datatype,
    shape.reduce((product, each) => product * each, 1),
  )
  for (const index of data.keys()) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      data[index] = BigInt(random.integer(0, 9))
    } else if (datatype === 'BOOL') data[index] = random.integer(0, 1)
    // Bits of FP16 numbers from 0.5 to 4.
    else if (datatype === 'FP16') data[index] = random.integer(0x3800, 0x4400)
    else data[index] = (random.next() - 0.5) * 4
  }
  return { datatype, shape, data }
}

function outputsOf(session: OnnxSession, inputs: readonly Tensor[]): unknown[] {
  return session
    .run(
      inputs,
      session.outputs.map(({ name }) => name),
    )
    .map(({ datatype, shape, data }) => {
      assert.ok(!Array.isArray(data))
      return [datatype, shape, bytesOfData(data).toString('hex')]
    })
}

/** Compares the model with its entry in an empty cache. */
async function compare(t: Parameters<typeof openCache>[0], file: string): Promise<void> {
  const shared = await openCache(t, path.join(temporaryFolder(t), 'cache')).share(file)
  const plain = OnnxSession.load(file, {}, CONTEXT)
  const cached = OnnxSession.load(file, {}, CONTEXT, new MappedWeights(shared))
  assert.ok(cached.isMapped)
  assert.deepEqual(cached.inputs, plain.inputs)
  assert.deepEqual(cached.outputs, plain.outputs)
  assert.deepEqual(cached.zipMaps, plain.zipMaps)
  assert.deepEqual(cached.notServed, plain.notServed)
  const random = randomNumbers(SEED)
  for (let run = 0; run < RUNS; run += 1) {
    const inputs = plain.inputs.map((spec) => tensorFor(spec, random))
    assert.deepEqual(outputsOf(cached, inputs), outputsOf(plain, inputs))
  }
  assert.ok(cached.isIntact)
  cached.close()
  plain.close()
}

for (const [name, source] of Object.entries(WEIGHT_MODELS)) {
  test(`cached weights do not change a model with ${name}`, async (t) => {
    const file = path.join(temporaryFolder(t), 'm.onnx')
    writeFileSync(file, modelBytes(source))
    await compare(t, file)
  })
}

test('cached weights do not change a model with external data', async (t) => {
  await compare(t, writeExternalModel(temporaryFolder(t), 1))
})

test('a model with random outputs is not cached', async (t) => {
  const file = path.join(temporaryFolder(t), 'm.onnx')
  writeFileSync(file, modelBytes(RANDOM_MODEL))
  const cache = openCache(t, path.join(temporaryFolder(t), 'cache'))
  assert.deepEqual(await cache.prepare(file), { reason: 'The model is not deterministic.' })
})

for (const name of ['mlp', 'mnist', 'light_squeezenet', 'light_shufflenet']) {
  testShared(`cached weights do not change the shared model ${name}`, {}, async (t) => {
    await compare(t, sharedPath('models', `${name}.onnx`))
  })
}
