/** The request of `onnxd run` and `onnxd bench`: its bytes and its content type. */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { buffer } from 'node:stream/consumers'
import { ConfigError, messageOf } from '../../errors.ts'
import { textFlag } from './outcome.ts'
import type { CommandInput } from './outcome.ts'

/** A request body. */
export interface RequestData {
  readonly body: Buffer
  readonly type: string
}

const TYPES: Readonly<Record<string, string>> = {
  '.json': 'application/json',
  '.csv': 'text/csv',
  '.tsv': 'text/tab-separated-values',
  '.npy': 'application/x-npy',
  '.txt': 'text/plain',
  '.bin': 'application/octet-stream',
  '.raw': 'application/octet-stream',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.gif': 'image/gif',
  '.bmp': 'image/bmp',
  '.tif': 'image/tiff',
  '.tiff': 'image/tiff',
}

/** First bytes of formats. */
const STARTS: readonly (readonly [start: string, type: string])[] = [
  ['\u0093NUMPY', 'application/x-npy'],
  ['\u0089PNG', 'image/png'],
  ['\u00ff\u00d8\u00ff', 'image/jpeg'],
  ['GIF8', 'image/gif'],
  ['RIFF', 'image/webp'],
]

/**
 * Reads the request from the flags `--data`, `--input` and `--type`; `undefined` without the first
 * two.
 * @throws ConfigError if the flags or the file cannot be used.
 */
export async function readRequest(input: CommandInput): Promise<RequestData | undefined> {
  const [data, file] = [textFlag(input, 'data'), textFlag(input, 'input')]
  if (data !== undefined && file !== undefined)
    throw new ConfigError('Use either --data or --input, not both.')
  const body = data === undefined ? await readInput(file) : Buffer.from(data)
  if (body === undefined) return undefined
  const type =
    textFlag(input, 'type') ?? TYPES[path.extname(file ?? '').toLowerCase()] ?? sniff(body)
  return { body, type }
}

async function readInput(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  if (file === '-') return buffer(process.stdin)
  try {
    return await readFile(file)
  } catch (cause) {
    throw new ConfigError(`Cannot read ${file}: ${messageOf(cause)}.`, { cause })
  }
}

/** Finds the content type from the first bytes. */
function sniff(body: Buffer): string {
  const head = body.toString('latin1', 0, 16)
  const known = STARTS.find(([start]) => head.startsWith(start))
  if (known !== undefined) return known[1]
  if (!isUtf8(body)) return 'application/octet-stream'
  return /^\s*[[{]/.test(head) ? 'application/json' : 'text/plain'
}
