/** Archives in both formats, archives that unpack to far more than they are, and how a model is uploaded. */
import { constants, deflateRawSync, gzipSync } from 'node:zlib'
import { tarOf } from './tar.ts'
import { zipOf } from './zip.ts'

const MIB = 1024 * 1024

/** A file of an archive, in any format. */
export interface ArchivedFile {
  readonly name: string
  readonly data?: string | Buffer
}

/** One archive as zip and as tar.gz, by the name of the file. */
export function bothFormats(files: readonly ArchivedFile[]): [fileName: string, bytes: Buffer][] {
  return [
    ['m.zip', zipOf(files)],
    ['m.tar.gz', gzipSync(tarOf(files), { level: 1 })],
  ]
}

/** A deflate stream of so many MiB of zeros. It is small and made at once. */
export function deflatedZeros(mib: number): Buffer {
  const blocks = Array.from({ length: mib }, () => DEFLATED_MIB)
  return Buffer.concat([...blocks, LAST_BLOCK])
}

/** Whole in itself: it ends at a byte and refers to nothing before it. */
const DEFLATED_MIB = deflateRawSync(Buffer.alloc(MIB), { finishFlush: constants.Z_FULL_FLUSH })
const LAST_BLOCK = deflateRawSync('')

/** A zip file of one entry of zeros. Its CRC-32 is wrong: whoever reads it to its end says so. */
export function zipBomb(mib: number, name = 'model.onnx'): Buffer {
  return zipOf([{ name, packed: deflatedZeros(mib), method: 8, bytes: mib * MIB, crc32: 1 }])
}

/** The same as tar.gz: the sum at its end is wrong as well. */
export function tarBomb(mib: number, name = 'model.onnx'): Buffer {
  const size = `${(mib * MIB).toString(8).padStart(11, '0')}\0`
  const header = deflateRawSync(tarOf([{ name, size }], Buffer.alloc(0)), {
    finishFlush: constants.Z_FULL_FLUSH,
  })
  const gzipHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
  return Buffer.concat([gzipHeader, header, deflatedZeros(mib), Buffer.alloc(8)])
}

/** The form that uploads a model. */
export function uploadForm(
  name: string,
  bytes: Buffer,
  fileName: string,
  fields: Readonly<Record<string, string>> = {},
): FormData {
  const form = new FormData()
  form.set('model_name', name)
  for (const [key, value] of Object.entries(fields)) form.set(key, value)
  form.set('model', new Blob([bytes]), fileName)
  return form
}
