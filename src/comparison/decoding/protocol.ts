/** Reads responses of the Open Inference Protocol over REST. */
import type { NamedValues, Scalar } from '../comparison.ts'
import { valuesOf } from '../trees.ts'
import { valuesFromBytes } from './raw-values.ts'

type Fields = Readonly<Record<string, unknown>>

interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly fields: Fields
}

/**
 * The outputs of a response; `undefined` for another JSON value. Only the outputs are compared: the
 * response also has the version of the model, which differs.
 * @param tail The binary data behind the JSON; `undefined` if there is none.
 * @throws Error if the data does not fit what is declared.
 */
export function outputsOfProtocol(
  value: unknown,
  tail: Buffer | undefined,
): readonly NamedValues[] | undefined {
  const list = isFields(value) ? value['outputs'] : undefined
  if (!Array.isArray(list) || list.length === 0) return undefined
  const outputs = list.map(outputOf)
  let at = 0
  const values: NamedValues[] = []
  for (const output of outputs) {
    if (output === undefined) return undefined
    const { name, datatype, shape, fields } = output
    const size = isFields(fields['parameters'])
      ? fields['parameters']['binary_data_size']
      : undefined
    if (typeof size !== 'number') {
      values.push({ name, datatype, shape, data: elementsOf(fields['data']) })
      continue
    }
    const bytes = (tail ?? Buffer.alloc(0)).subarray(at, at + size)
    values.push({ name, ...valuesFromBytes(datatype, shape, bytes) })
    at += size
  }
  return values
}

function outputOf(value: unknown): Output | undefined {
  if (!isFields(value)) return undefined
  const { name, datatype, shape } = value
  if (typeof name !== 'string' || typeof datatype !== 'string' || !isShape(shape)) return undefined
  return { name, datatype, shape, fields: value }
}

/** The data may be flat or nested. */
function elementsOf(data: unknown): ArrayLike<Scalar> {
  const values = Array.isArray(data) ? valuesOf(data) : undefined
  if (values === undefined) throw new TypeError('the data is not a list of elements')
  return values.data
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size))
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
