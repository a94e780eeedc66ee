/**
 * The classification extension of the Open Inference Protocol: returns the highest values of an
 * output instead of the output.
 */
import { ServerError } from '../../../../errors.ts'
import { textToElement } from '../tensors/byte-strings.ts'
import { quote } from '../tensors/error-text.ts'
import type { BytesTensor, NumericData, Tensor } from '../tensors/tensor.ts'

/** A larger output would take too long to sort while other requests wait. */
const MAX_ELEMENTS = 1_000_000
/** From this value on, `toFixed` writes exponents. */
const FIRST_LARGE = 1e21

/**
 * Writes `value:index` or `value:index:label` of the `count` highest values, the highest first. Of
 * equal values the lower index comes first; NaN comes last. With a batch dimension each row is
 * ranked, and the shape is [rows, classes]; otherwise all elements are ranked, and it is [classes].
 * @throws ServerError 400 when the output cannot be ranked
 */
export function rankOutput(
  output: Tensor,
  name: string,
  count: number,
  options: { readonly isBatch: boolean; readonly labels: readonly string[] },
): BytesTensor {
  const { datatype, data, shape } = output
  if (datatype === 'BYTES' || datatype === 'FP16' || data.length > MAX_ELEMENTS) {
    const problem =
      datatype === 'BYTES' || datatype === 'FP16' ? datatype : `${data.length} elements`
    const text = `Output ${quote(name)}: "classification" does not support ${problem}.`
    throw new ServerError('InvalidInputException', text)
  }
  const rows = options.isBatch ? (shape[0] ?? 1) : 1
  const classes = rows === 0 ? 0 : data.length / rows
  const shown = Math.min(count, classes)
  const isFloat = datatype === 'FP32' || datatype === 'FP64'
  const texts: string[] = []
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * classes, (row + 1) * classes)
    for (const index of highest(values, shown)) {
      const value = values[index] ?? 0
      const label = options.labels[index]
      const text = `${isFloat ? fixedText(Number(value)) : value}:${index}`
      texts.push(label === undefined ? text : textToElement(`${text}:${label}`))
    }
  }
  return { datatype: 'BYTES', shape: options.isBatch ? [rows, shown] : [shown], data: texts }
}

function highest(values: NumericData, count: number): readonly number[] {
  const order = Array.from(values.keys())
  order.sort((a, b) => descending(values[a] ?? 0, values[b] ?? 0))
  return order.slice(0, count)
}

function descending(a: number | bigint, b: number | bigint): number {
  if (a > b) return -1
  if (a < b) return 1
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
}

/** Six decimals, in the format of `std::to_string` of C++, which clients rely on. */
function fixedText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (Math.abs(value) < FIRST_LARGE) return value.toFixed(6)
  if (Number.isFinite(value)) return `${BigInt(value)}.000000`
  return value > 0 ? 'inf' : '-inf'
}
