/** Models of one operator: what it computes arrives unharmed, compared with plain arithmetic. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Datatype } from '../../../../src/contract/datatypes.ts'
import { writeModel } from '../../../helpers/onnx-builder.ts'
import type { ValueSource } from '../../../helpers/onnx-builder.ts'
import { ask, bodyRequest, loadModel, predict } from '../../../helpers/onnx-model.ts'
import { OPERATORS, range } from '../../../helpers/operator-cases.ts'
import type { TestTensor } from '../../../helpers/operator-cases.ts'
import { temporaryFolder } from '../../../helpers/server.ts'

function assertClose(actual: readonly unknown[], expected: TestTensor, what: string): void {
  assert.equal(actual.length, expected.data.length, what)
  for (const [index, wanted] of expected.data.entries()) {
    const value = actual[index]
    const isClose =
      typeof wanted === 'number'
        ? Math.abs(Number(value) - wanted) <= 1e-5 + 1e-5 * Math.abs(wanted)
        : value === wanted
    assert.ok(isClose, `${what} [${index}]: ${String(value)} instead of ${wanted}`)
  }
}

function nest(values: readonly unknown[], shape: readonly number[]): unknown {
  const [rows, ...rest] = shape
  if (rows === undefined) return values[0]
  const size = values.length / rows
  return range(rows).map((row) => nest(values.slice(row * size, (row + 1) * size), rest))
}

function rawNumbers(bytes: Buffer, datatype: Datatype): unknown[] {
  const { buffer } = Uint8Array.from(bytes)
  if (datatype === 'INT32') return [...new Int32Array(buffer)]
  if (datatype === 'INT64') return [...new BigInt64Array(buffer)].map(Number)
  if (datatype === 'BOOL') return [...bytes].map((byte) => byte === 1)
  return [...new Float32Array(buffer)]
}

for (const [name, { nodes, inputs, constants = {}, output }] of Object.entries(OPERATORS)) {
  test(`${name} gives what plain arithmetic gives, in JSON and in raw bytes`, async (t) => {
    const names = ['a', 'b', 'c'].slice(0, inputs.length)
    const value = (called: string, { datatype = 'FP32', shape }: TestTensor): ValueSource => ({
      name: called,
      type: datatype,
      shape,
    })
    const file = writeModel(`${temporaryFolder(t)}/model.onnx`, {
      nodes,
      inputs: inputs.map((input, index) => value(names[index] ?? '', input)),
      outputs: [value('y', output)],
      constants,
    })
    const model = await loadModel(t, file)
    const request = {
      inputs: inputs.map(({ datatype = 'FP32', ...rest }, index) => ({
        name: names[index],
        datatype,
        ...rest,
      })),
    }
    const [status, body] = await ask(model, bodyRequest(request))
    assert.equal(status, 200, JSON.stringify(body))
    const { outputs } = body as {
      outputs: { datatype: string; shape: number[]; data: unknown[] }[]
    }
    const datatype = output.datatype ?? 'FP32'
    assert.deepEqual([outputs[0]?.datatype, outputs[0]?.shape], [datatype, output.shape])
    assertClose(outputs[0]?.data ?? [], output, 'JSON')
    const keyed = inputs.map(({ data, shape }, index) => [names[index], nest(data, shape)])
    const accept = [['Accept', 'application/octet-stream']] as const
    const raw = await predict(
      model,
      bodyRequest(Object.fromEntries(keyed), 'application/json', accept),
    )
    assert.equal(raw.status, 200, raw.body.toString())
    assertClose(rawNumbers(raw.body, datatype), output, 'raw bytes')
  })
}
