/** Reads archives of `numpy.savez` (`.npz`): one array for each input. */
import { fromBufferPromise } from 'yauzl'
import type { Entry, ZipFile } from 'yauzl'
import { ServerError } from '../../../../errors.ts'
import { isNumpyFile } from '../../../../formats/file-format.ts'
import { tensorFromBytes } from '../raw/raw-input.ts'
import { quote } from '../tensors/error-text.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { joinRows } from '../tensors/rows.ts'
import { allocateData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'

const SUFFIX = '.npy'
const MAX_ENTRIES = 4096

/**
 * Reads the arrays. For a model with one input, a single array may have any name, and arrays with
 * the names of columns are its columns.
 * @param columns Names of the columns of the only input, if they have names.
 * @param maxBytes Limit for the unpacked arrays together.
 * @throws ServerError 400, 413, or 415 for other archives
 */
export async function readNpz(
  bytes: Buffer,
  table: InputTable,
  columns: readonly string[],
  maxBytes: number,
): Promise<readonly Tensor[]> {
  const arrays = await unpack(bytes, maxBytes)
  const inputs = new InputSet(table)
  const [only, ...others] = table.specs
  const isSingle = only !== undefined && others.length === 0
  if (isSingle && columns.some((name) => arrays.has(name)) && !arrays.has(only.name)) {
    return [joinColumns(only, columns, arrays)]
  }
  for (const [name, array] of arrays) {
    const isOnly = isSingle && arrays.size === 1 && !table.has(name)
    const spec = inputs.claim(isOnly ? only.name : name)
    inputs.add(spec.name, tensorFromBytes(spec, array))
  }
  return inputs.complete()
}

/** Joins the columns of one input, which are in different arrays, row by row. */
function joinColumns(
  spec: TensorSpec,
  names: readonly string[],
  arrays: ReadonlyMap<string, Buffer>,
): Tensor {
  const columns = names.map((name) => {
    const array = arrays.get(name)
    if (array === undefined) throw invalid(`it has no array for the column ${quote(name)}`)
    return tensorFromBytes({ ...spec, name, shape: [-1], dimensions: [''] }, array)
  })
  const extra = [...arrays.keys()].find((name) => !names.includes(name))
  if (extra !== undefined) throw invalid(`the model has no column ${quote(extra)}`)
  const rows = columns[0]?.data.length ?? 0
  const odd = columns.findIndex(({ data }) => data.length !== rows)
  if (odd !== -1) {
    const [first, other] = [quote(names[0] ?? ''), quote(names[odd] ?? '')]
    const found = columns[odd]?.data.length
    throw invalid(`column ${first} has ${rows} values, but ${other} has ${found}`)
  }
  // Column after column becomes row after row, as from Fortran order.
  const joined = joinRows(columns.map((one) => ({ ...one, shape: [1, rows] })))
  return transposed(joined, names.length, rows)
}

function transposed(tensor: Tensor, columns: number, rows: number): Tensor {
  const shape = [rows, columns]
  if (tensor.datatype === 'BYTES') {
    const { data } = tensor
    const texts = data.map((_, at) => data[(at % columns) * rows + Math.floor(at / columns)] ?? '')
    return { datatype: 'BYTES', shape, data: texts }
  }
  const { datatype, data: source } = tensor
  const data = allocateData(datatype, source.length)
  for (const [at, value] of source.entries()) {
    const target = (at % rows) * columns + Math.floor(at / rows)
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      data[target] = BigInt(value)
    else data[target] = Number(value)
  }
  return { datatype, shape, data }
}

async function unpack(bytes: Buffer, maxBytes: number): Promise<Map<string, Buffer>> {
  const arrays = new Map<string, Buffer>()
  try {
    const zip = await fromBufferPromise(bytes)
    if (zip.entryCount > MAX_ENTRIES) throw invalid(`it has more than ${MAX_ENTRIES} entries`)
    let total = 0
    for await (const entry of zip.eachEntry()) {
      if (!entry.fileName.endsWith(SUFFIX)) throw foreign()
      total += entry.uncompressedSize
      if (total > maxBytes) {
        const text = `The arrays of the .npz file are larger than the limit of ${maxBytes} bytes.`
        throw new ServerError('PayloadTooLargeException', text)
      }
      const name = entry.fileName.slice(0, -SUFFIX.length)
      if (arrays.has(name)) throw invalid(`it has the array ${quote(name)} twice`)
      const array = await read(zip, entry)
      if (!isNumpyFile(array)) throw invalid(`${quote(entry.fileName)} is not a NumPy array`)
      arrays.set(name, array)
    }
  } catch (error) {
    if (error instanceof ServerError) throw error
    throw invalid('it is damaged', error)
  }
  if (arrays.size === 0) throw invalid('it has no arrays')
  return arrays
}

/** yauzl ends the stream with an error if it has more bytes than the directory says. */
async function read(zip: ZipFile, entry: Entry): Promise<Buffer> {
  const parts: Buffer[] = []
  const stream = await zip.openReadStreamPromise(entry)
  for await (const part of stream) {
    if (Buffer.isBuffer(part)) parts.push(part)
  }
  return Buffer.concat(parts)
}

function invalid(problem: string, cause?: unknown): ServerError {
  const message = `The .npz file cannot be read: ${problem}.`
  return new ServerError('InvalidInputException', message, cause === undefined ? {} : { cause })
}

function foreign(): ServerError {
  const text =
    'The body is a ZIP archive that is not a .npz file. Send an archive of numpy.savez, or the elements of the tensor.'
  return new ServerError('UnsupportedMediaTypeException', text)
}
