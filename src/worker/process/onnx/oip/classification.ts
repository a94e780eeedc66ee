/** The classification extension of the Open Inference Protocol: the highest values of an output in place of the output. */
import { ServerError } from '../../../../errors.ts'
import { textToElement } from '../tensors/byte-strings.ts'
import { quote } from '../tensors/error-text.ts'
import type { BytesTensor, NumericData, Tensor } from '../tensors/tensor.ts'

/** More could not be sorted while the others wait. */
const MAX_ELEMENTS = 1_000_000
/** From here on `toFixed` writes exponents. */
const FIRST_LARGE = 1e21

/**
 * `value:index` or `value:index:label` of the `count` highest values, the highest first, of equals the lower index,
 * NaN last. With a batch that of each row, in the shape [rows, classes]; else of all elements, [classes].
 * @throws ServerError 400 for outputs that cannot be ranked
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
    const text = `Output ${quote(name)}: ${problem} cannot be ranked by "classification".`
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

/** Six decimals, as `std::to_string` of C++ writes them, on which clients rely. */
function fixedText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (Math.abs(value) < FIRST_LARGE) return value.toFixed(6)
  if (Number.isFinite(value)) return `${BigInt(value)}.000000`
  return value > 0 ? 'inf' : '-inf'
}
