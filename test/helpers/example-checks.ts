/** Checks a model against its example, through a server or in the process of the test. */
import assert from 'node:assert/strict'
import type { WireParameter } from '../../src/worker/wire/messages.ts'
import type { ModelExample, TensorExample } from './model-examples.ts'
import { parameter } from './onnx-model.ts'
import { assertSame } from './same.ts'

const OCTETS = 'application/octet-stream'
const JSON_TYPE = 'application/json'

/**
 * Sends a request to a model: a parameter `body` as the whole body, others as the parts of a form.
 */
export type SendParts = (
  model: string,
  parts: readonly WireParameter[],
  headers: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly body: Buffer }>

/** The model gives exactly the outputs of its example, in JSON, raw bytes and multipart. */
export async function checkExample(
  send: SendParts,
  model: string,
  example: ModelExample,
): Promise<void> {
  const expected = Object.fromEntries(
    Object.entries(example.outputs).map(([output, tensor]) => [
      output,
      nest(jsonValues(tensor), tensor.shape),
    ]),
  )
  const inputs = Object.entries(example.inputs)
  // A half may be written by any decimal that rounds to it.
  const isHalf = inputs.some(([, { datatype }]) => datatype === 'FP16')
  const read = (text: Buffer): unknown =>
    JSON.parse(text.toString(), (_key, value: unknown) =>
      isHalf && typeof value === 'number' ? Math.fround(value) : value,
    )
  const asked = async (
    parts: readonly WireParameter[],
    headers: Readonly<Record<string, string>> = { accept: JSON_TYPE },
  ): Promise<Buffer> => {
    const { status, body } = await send(model, parts, headers)
    assert.equal(status, 200, body.toString())
    return body
  }
  const keyed = Object.fromEntries(
    inputs.map(([input, tensor]) => [input, nest(jsonValues(tensor), tensor.shape)]),
  )
  const byName = await asked([parameter('body', JSON.stringify(keyed), JSON_TYPE)])
  assertSame(read(byName), expected)

  const v2 = {
    inputs: inputs.map(([input, tensor]) => ({
      name: input,
      datatype: tensor.datatype,
      shape: tensor.shape,
      data: jsonValues(tensor),
    })),
  }
  await asked([parameter('body', JSON.stringify(v2), JSON_TYPE)])

  const form = Object.entries(keyed).map(([input, value]) =>
    parameter(input, JSON.stringify(value), JSON_TYPE),
  )
  assertSame(read(await asked(form)), expected)

  const [only, ...others] = inputs
  const [output, ...otherOutputs] = Object.values(example.outputs)
  if (
    only?.[1].littleEndianHex &&
    others.length === 0 &&
    output?.littleEndianHex &&
    otherOutputs.length === 0 &&
    only[1].datatype !== 'BYTES'
  ) {
    const bytes = Buffer.from(only[1].littleEndianHex, 'hex')
    const headers = { accept: OCTETS, 'tensor-shape': only[1].shape.join() }
    const raw = await asked([parameter('body', bytes, OCTETS)], headers)
    assertSame(raw.toString('hex'), output.littleEndianHex)
  }
}

/**
 * The file contains booleans as 0 and 1, halves as their bits, and NaN and the infinities as text.
 */
function jsonValues({ datatype, data }: TensorExample): unknown[] {
  return data.map((value) => {
    if (datatype === 'BOOL') return value === 1
    if (datatype === 'FP16') return halfValue(Number(value))
    return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? null : value
  })
}

/** IEEE 754 binary16 from its bits. */
function halfValue(bits: number): number {
  const fraction = bits & 0x3ff
  const exponent = (bits >> 10) & 0x1f
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -magnitude : magnitude
}

/** Flat data as nested arrays. */
export function nest(data: readonly unknown[], shape: readonly number[]): unknown {
  const [rows, ...rest] = shape
  if (rows === undefined) return data[0]
  const size = rest.reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: rows }, (_, row) =>
    nest(data.slice(row * size, (row + 1) * size), rest),
  )
}
