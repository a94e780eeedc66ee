/** Reads archives of `numpy.savez` (`.npz`): one array for each input. */
import { fromBufferPromise } from 'yauzl'
import type { Entry, ZipFile } from 'yauzl'
import { ServerError } from '../../../../errors.ts'
import { isNumpyFile } from '../../../../file-format.ts'
import { tensorFromBytes } from '../raw/raw-input.ts'
import { quote } from '../tensors/error-text.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { Tensor } from '../tensors/tensor.ts'

const SUFFIX = '.npy'
const MAX_ENTRIES = 4096

/**
 * Reads the arrays. For a model with one input, a single array may have any name.
 * @param maxBytes Limit for the unpacked arrays together.
 * @throws ServerError 400, 413, or 415 for other archives
 */
export async function readNpz(
  bytes: Buffer,
  table: InputTable,
  maxBytes: number,
): Promise<readonly Tensor[]> {
  const arrays = await unpack(bytes, maxBytes)
  const inputs = new InputSet(table)
  const [only, ...others] = table.specs
  const isSingle = only !== undefined && others.length === 0 && arrays.size === 1
  for (const [name, array] of arrays) {
    const spec = inputs.claim(isSingle && !table.has(name) ? only.name : name)
    inputs.add(spec.name, tensorFromBytes(spec, array))
  }
  return inputs.complete()
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
