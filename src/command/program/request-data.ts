/** The request of `onnxd run` and `onnxd bench`: its bytes and its content type. */
import { isUtf8 } from 'node:buffer'
import { constants, createReadStream, openSync, statSync } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { ConfigError, fileProblem } from '../../errors.ts'
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

/** More than any server accepts by default. A device or a pipe may have no end. */
const MAX_BYTES = 256 * 1024 * 1024

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
  const body = data === undefined ? await readInput(file, input.signal) : Buffer.from(data)
  if (body === undefined) return undefined
  const type =
    textFlag(input, 'type') ?? TYPES[path.extname(file ?? '').toLowerCase()] ?? sniff(body)
  return { body, type }
}

/** Stops at the signal, also while a pipe is silent. */
async function readInput(
  file: string | undefined,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  const stopped = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('it was interrupted')))
  })
  try {
    return await Promise.race([readAll(openInput(file)), stopped])
  } catch (cause) {
    throw new ConfigError(`Cannot read ${file}: ${fileProblem(cause)}.`, { cause })
  }
}

/** Opening a pipe without a writer would block a thread for ever, and the exit with it. */
function openInput(file: string): AsyncIterable<Buffer> {
  if (file === '-') return process.stdin
  if (!statSync(file).isFIFO()) return createReadStream(file)
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false })
}

async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Finds the content type from the first bytes. */
function sniff(body: Buffer): string {
  const head = body.toString('latin1', 0, 16)
  const known = STARTS.find(([start]) => head.startsWith(start))
  if (known !== undefined) return known[1]
  if (!isUtf8(body)) return 'application/octet-stream'
  return /^\s*[[{]/.test(head) ? 'application/json' : 'text/plain'
}
