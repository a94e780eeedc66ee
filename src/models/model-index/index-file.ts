/**
 * The file of the model index: a line with the format, the version of onnxd and a SHA-256 of the
 * rest, then one line of JSON for each model. A line is parsed when its model is asked for.
 */
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { messageOf } from '../../errors.ts'
import { codeOf } from '../../system/process-identity.ts'

/** Number of the format. Files of another number are ignored. */
const FORMAT = 1
/** Maximum size of the file; enough for tens of thousands of models. */
export const MAX_INDEX_BYTES = 32 * 1024 * 1024

/** The file must not be used, for a reason that completes "the file …". */
export class IndexProblem extends Error {}

/**
 * Returns the lines of the models; none if there is no file.
 * @param version The version of onnxd, which must have written the file.
 * @throws IndexProblem
 */
export function readIndex(file: string, version: string): readonly string[] {
  const text = readOwnFile(file)
  if (text === undefined) return []
  const end = text.indexOf('\n')
  const header = headerOf(text.slice(0, end))
  if (end < 0 || header === undefined) throw new IndexProblem('has no valid first line')
  // Another version of onnxd may describe the same model differently.
  if (header.format !== FORMAT || header.onnxd !== version) return []
  const body = text.slice(end + 1)
  if (header.sha256 !== sha256Of(body)) throw new IndexProblem('is damaged')
  return body.split('\n').filter((line) => line !== '')
}

/** Replaces the file. A crash leaves the old file or the new one. */
export async function writeIndex(
  file: string,
  version: string,
  lines: Iterable<string>,
): Promise<void> {
  let body = ''
  for (const line of lines) body += `${line}\n`
  const header = { format: FORMAT, onnxd: version, sha256: sha256Of(body) }
  const temporary = `${file}.new`
  await rm(temporary, { force: true })
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify(header)}\n${body}`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
}

/** @throws IndexProblem for a link, the file of another user, or a file that cannot be read. */
function readOwnFile(file: string): string | undefined {
  let descriptor: number | undefined
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    descriptor = openSync(file, flags)
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new IndexProblem('is not a regular file')
    if (stats.size > MAX_INDEX_BYTES) throw new IndexProblem('is too large')
    const user = process.geteuid?.()
    if (user !== undefined && stats.uid !== user) throw new IndexProblem('belongs to another user')
    return readFileSync(descriptor, 'utf8')
  } catch (cause) {
    if (cause instanceof IndexProblem) throw cause
    const code = codeOf(cause)
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw new IndexProblem('is a symbolic link', { cause })
    throw new IndexProblem(`cannot be read: ${messageOf(cause, 100)}`, { cause })
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function headerOf(line: string): { format: unknown; onnxd: unknown; sha256: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return undefined
    if (!('format' in value && 'onnxd' in value && 'sha256' in value)) return undefined
    const { format, onnxd, sha256 } = value
    return { format, onnxd, sha256 }
  } catch {
    return undefined
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
