/**
 * Does a model treat its first dimension as a batch? A symbolic one can mean something else: softmax over it,
 * time steps, a mean over all rows. Then joined requests would change each other's answers, silently.
 */
import { halfToNumber } from './half.ts'
import { joinRows, rowsOf, splitRows } from './rows.ts'
import { allocateData, bytesOfData } from './tensor.ts'
import type { NumericData, Tensor } from './tensor.ts'

type Run = (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>

/** Kernels may add in another order for more rows, so floats need not be equal to the last bit. */
const TOLERANCE = 1e-3
const HALF_TOLERANCE = 1e-2

/**
 * Runs a request and a variant of it alone and together, and compares. `rows` is the first dimension of all its inputs.
 * @throws ServerError when the request itself fails, which says nothing about the model.
 */
export async function isBatchModel(run: Run, sample: readonly Tensor[], rows: number): Promise<boolean> {
  const alone = await run(sample)
  const variant = sample.map(variantOf)
  const variantAlone = await run(variant).catch(() => undefined)
  const other = variantAlone === undefined ? sample : variant
  const otherAlone = variantAlone ?? alone
  const together = await run(sample.map((tensor, index) => joinRows([tensor, other[index] ?? tensor])))
    .catch(() => undefined)
  if (together === undefined) return false
  return together.every((output, index) => {
    if (rowsOf(output) !== 2 * rows) return false
    const [first, second] = splitRows(output, [rows, rows])
    return isClose(first, alone[index]) && isClose(second, otherAlone[index])
  })
}

/** Other elements that are as valid: moved by one place; where all are equal, the first becomes 0 or 1. */
function variantOf(tensor: Tensor): Tensor {
  const { shape } = tensor
  if (tensor.datatype === 'BYTES') {
    return { datatype: 'BYTES', shape, data: [...tensor.data.slice(1), ...tensor.data.slice(0, 1)] }
  }
  const data = allocateData(tensor.datatype, tensor.data.length)
  const size = data.BYTES_PER_ELEMENT
  const [from, to] = [bytesOfData(tensor.data), bytesOfData(data)]
  to.set(from.subarray(size))
  to.set(from.subarray(0, size), Math.max(0, to.length - size))
  if (to.equals(from)) flipFirst(data, tensor.datatype === 'FP16' ? ONE_HALF_BITS : 1)
  return { datatype: tensor.datatype, shape, data }
}
