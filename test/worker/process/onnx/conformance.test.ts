/**
 * ONNX's own backend tests with the built-in handler. The results of a model must arrive unchanged
 * in every form.
 */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { LoadedModel } from '../../../../src/worker/process/handler.ts'
import { ask, bodyRequest, loadModel, predict } from '../../../helpers/onnx-model.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'
import { readTensorProto } from '../../../helpers/tensor-proto.ts'
import type { ProtoTensor } from '../../../helpers/tensor-proto.ts'

const folder = sharedPath('onnx-conformance')
const RELATIVE = 1e-3
const ABSOLUTE = 1e-5
/**
 * onnxruntime rejects these models: it has no kernels for these operators in the first versions of
 * ONNX.
 */
const REFUSED = [
  'test_AvgPool1d',
  'test_AvgPool1d_stride',
  'test_AvgPool2d',
  'test_AvgPool2d_stride',
  'test_AvgPool3d',
  'test_AvgPool3d_stride',
  'test_AvgPool3d_stride1_pad0_gpu_input',
  'test_BatchNorm1d_3d_input_eval',
  'test_BatchNorm2d_eval',
  'test_BatchNorm2d_momentum_eval',
  'test_BatchNorm3d_eval',
  'test_BatchNorm3d_momentum_eval',
  'test_GLU',
  'test_GLU_dim',
  'test_Linear',
  'test_PReLU_1d',
  'test_PReLU_1d_multiparam',
  'test_PReLU_2d',
  'test_PReLU_2d_multiparam',
  'test_PReLU_3d',
  'test_PReLU_3d_multiparam',
  'test_PoissonNLLLLoss_no_reduce',
  'test_Softsign',
]

function tensorsOf(name: string, kind: 'input' | 'output'): ProtoTensor[] {
  const data = path.join(folder, name, 'test_data_set_0')
  const files = readdirSync(data).filter((file) => file.startsWith(`${kind}_`))
  return files.map((_, index) =>
    readTensorProto(readFileSync(path.join(data, `${kind}_${index}.pb`))),
  )
}

function numbers({ datatype, bytes }: ProtoTensor): number[] {
  const { buffer } = Uint8Array.from(bytes)
  if (datatype === 'FP32') return [...new Float32Array(buffer)]
  if (datatype === 'FP64') return [...new Float64Array(buffer)]
  if (datatype === 'INT32') return [...new Int32Array(buffer)]
  if (datatype === 'INT64') return [...new BigInt64Array(buffer)].map(Number)
  throw new Error(`a conformance tensor of ${datatype}`)
}

function assertClose(actual: readonly number[], expected: readonly number[], name: string): void {
  assert.equal(actual.length, expected.length, name)
  for (const [index, value] of expected.entries()) {
    const difference = Math.abs((actual[index] ?? Number.NaN) - value)
    const limit = ABSOLUTE + RELATIVE * Math.abs(value)
    assert.ok(difference <= limit, `${name} [${index}]: ${actual[index]} instead of ${value}`)
  }
}

interface ProtocolAnswer {
  readonly outputs: readonly { name: string; datatype: string; shape: number[]; data: number[] }[]
}

async function describe(model: LoadedModel): Promise<{ inputs: { name: string }[] }> {
  const answer = await predict(model, { headers: [['describe', 'True']], parameters: [] })
  return JSON.parse(answer.body.toString())
}

testShared('the conformance models give the expected outputs', {}, async (t) => {
  const names = readdirSync(folder).toSorted()
  assert.ok(names.length >= 80, `only ${names.length} folders`)
  const refused: string[] = []
  for (const name of names) {
    await t.test(name, async (sub) => {
      const model = await loadModel(sub, path.join(folder, name, 'model.onnx')).catch(
        (error: unknown) => {
          assert.match(
            String(error),
            /^InvalidModelException: Could not find an implementation for/,
          )
          refused.push(name)
        },
      )
      if (model === undefined) return
      const inputs = tensorsOf(name, 'input')
      const expected = tensorsOf(name, 'output')
      const { inputs: specs } = await describe(model)
      const body = {
        inputs: inputs.map((tensor, index) => ({
          name: specs[index]?.name,
          shape: tensor.shape,
          datatype: tensor.datatype,
          data: numbers(tensor),
        })),
      }
      const [status, answer] = await ask(model, bodyRequest(body))
      assert.equal(status, 200, JSON.stringify(answer))
      const { outputs } = answer as ProtocolAnswer
      assert.equal(outputs.length, expected.length)
      for (const [index, output] of outputs.entries()) {
        const wanted = expected[index]
        assert.ok(wanted !== undefined)
        assert.deepEqual([output.datatype, output.shape], [wanted.datatype, wanted.shape])
        assertClose(output.data, numbers(wanted), 'protocol')
      }
      const [only, ...others] = inputs
      if (only === undefined || others.length > 0 || expected.length !== 1) return
      const octets = bodyRequest(only.bytes, 'application/octet-stream', [
        ['accept', 'application/octet-stream'],
        ['tensor-shape', only.shape.join(',')],
      ])
      const raw = await predict(model, octets)
      assert.equal(raw.status, 200, raw.body.toString())
      for (const wanted of expected) {
        assertClose(numbers({ ...wanted, bytes: raw.body }), numbers(wanted), 'octets')
      }
    })
  }
  assert.deepEqual(refused, REFUSED)
})

testShared('the light models give their published outputs', {}, async (t) => {
  for (const name of ['light_squeezenet', 'light_shufflenet', 'light_resnet50']) {
    const file = sharedPath('models', `${name}_output_0.pb`)
    const expected = readTensorProto(readFileSync(file))
    const model = await loadModel(t, sharedPath('models', `${name}.onnx`))
    const pixels = Buffer.alloc(3 * 224 * 224 * 4)
    const accept = ['Accept', 'application/octet-stream'] as const
    const answer = await predict(model, bodyRequest(pixels, 'application/octet-stream', [accept]))
    assert.equal(answer.status, 200, answer.body.toString())
    assertClose(numbers({ ...expected, bytes: answer.body }), numbers(expected), name)
  }
})
