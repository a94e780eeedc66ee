/** Decompresses pages of a Parquet file. */
import * as zlib from 'node:zlib'
import { damaged, unsupported } from './damage.ts'
import { decompressSnappy } from './snappy.ts'

const CODECS = ['none', 'Snappy', 'gzip', 'LZO', 'Brotli', 'LZ4', 'Zstandard', 'LZ4'] as const

/**
 * Returns the bytes of a page.
 * @param size Length after decompression. The caller checks it against the limit.
 * @throws ServerError 400, or 415 for a codec that is not supported
 */
export function decompressPage(bytes: Buffer, codec: number, size: number, column: string): Buffer {
  const name = CODECS[codec]
  if (name === 'none') return bytes
  if (name === 'Snappy') return decompressSnappy(bytes, size)
  const decompress =
    name === 'gzip'
      ? zlib.gunzipSync
      : name === 'Brotli'
        ? zlib.brotliDecompressSync
        : name === 'Zstandard'
          ? zstandard()
          : undefined
  if (decompress === undefined) {
    const other = name === 'Zstandard' ? 'Zstandard, which needs Node 22.15' : (name ?? 'unknown')
    const problem = `is compressed with ${other}`
    throw unsupported(column, problem, 'write it with compression="snappy" or "gzip"')
  }
  // zlib needs a limit above 0.
  const options = { maxOutputLength: Math.max(size, 1) }
  let page: Buffer
  try {
    page = decompress(bytes, options)
  } catch {
    throw damaged('a page cannot be decompressed')
  }
  if (page.length !== size) throw damaged('a page has a wrong length')
  return page
}

type Decompress = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer

/** Node 20 does not have it. */
function zstandard(): Decompress | undefined {
  const found: unknown = Reflect.get(zlib, 'zstdDecompressSync')
  return isFunction(found) ? found : undefined
}

function isFunction(value: unknown): value is Decompress {
  return typeof value === 'function'
}
