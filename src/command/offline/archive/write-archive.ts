/**
 * Writes a zip file whose bytes depend on the names and contents of its files only. The deflate of
 * fflate is JavaScript: Node's zlib gives other bytes on other processors and versions.
 */
import { createHash, randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { Zip, ZipDeflate, deflateSync } from 'fflate'
import { ServerError, fileProblem } from '../../../errors.ts'
import type { ArchivedFile } from './file-list.ts'

const CHUNK_BYTES = 64 * 1024
const LEVEL = 6
/** A part of a file shows whether deflate is worth its time: weights mostly get 7% smaller. */
const SAMPLE_BYTES = 512 * 1024
const WORTHWHILE = 0.8
/** A regular file that its owner may write, `rw-r--r--`. */
const ATTRIBUTES = (0o100_644 << 16) >>> 0
const UNIX = 3

/** Options of {@link writeArchive}. */
export interface WriteOptions {
  readonly files: readonly ArchivedFile[]
  /** Absolute path of the archive. */
  readonly output: string
  readonly isCompressed: boolean
  /** Called before the archive gets its name; may throw to discard it. */
  readonly check: (file: string) => Promise<void>
  /** Called with the number of bytes that were read. */
  readonly onRead: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Facts about an archive that was written. */
export interface WrittenArchive {
  readonly bytes: number
  readonly sha256: string
}

/**
 * Writes the archive beside its place under another name, checks it, and renames it. Nothing is
 * left after a failure.
 * @throws ServerError if a file has changed; what `check` throws; Error of the file system.
 */
export async function writeArchive(options: WriteOptions): Promise<WrittenArchive> {
  const { dir, name, ext } = path.parse(options.output)
  const temporary = path.join(dir, `.${name}-${randomBytes(6).toString('hex')}${ext}`)
  try {
    const target = await open(temporary, 'wx')
    try {
      const written = await writeZip(target, options)
      await target.sync()
      await options.check(temporary)
      await rename(temporary, options.output)
      return written
    } finally {
      await target.close()
    }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function writeZip(
  target: FileHandle,
  { files, isCompressed, onRead, signal }: WriteOptions,
): Promise<WrittenArchive> {
  const hash = createHash('sha256')
  let bytes = 0
  let pending: Uint8Array[] = []
  const zip = new Zip((error, chunk) => {
    if (error) throw error
    pending.push(chunk)
  })
  const flush = async (): Promise<void> => {
    const chunk = Buffer.concat(pending)
    pending = []
    bytes += chunk.length
    hash.update(chunk)
    await target.writeFile(chunk)
  }
  for (const file of files) {
    const level = isCompressed && (await isCompressible(file)) ? LEVEL : 0
    // With level 0 too, sizes follow the data, so Java's zip streams need the method deflate.
    const entry = new ZipDeflate(file.name, { level })
    entry.os = UNIX
    entry.attrs = ATTRIBUTES
    // fflate writes the local time, so this is the same in each time zone.
    entry.mtime = new Date(1980, 0, 1)
    zip.add(entry)
    let read = 0
    for await (const { chunk, isLast } of chunksOf(file)) {
      signal.throwIfAborted()
      read += chunk.length
      entry.push(chunk, isLast)
      onRead(chunk.length)
      await flush()
    }
    if (read !== file.bytes) throw changed(file.name)
  }
  zip.end()
  await flush()
  return { bytes, sha256: hash.digest('hex') }
}

/** Looks at the middle of a file, where the weights of a model are. */
async function isCompressible({ source, name, bytes }: ArchivedFile): Promise<boolean> {
  let sample: Buffer = Buffer.alloc(Math.min(bytes, SAMPLE_BYTES))
  if (typeof source === 'string') {
    const handle = await openSource(source, name)
    try {
      const position = Math.floor((bytes - sample.length) / 2)
      const { bytesRead } = await handle.read(sample, 0, sample.length, position)
      sample = sample.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  } else sample = source
  return deflateSync(sample, { level: LEVEL }).length < sample.length * WORTHWHILE
}

function openSource(file: string, name: string): Promise<FileHandle> {
  return open(file).catch((cause: unknown) => {
    const text = `${JSON.stringify(name)} cannot be read: ${fileProblem(cause)}.`
    throw new ServerError('InvalidModelException', text, { cause })
  })
}

interface Chunk {
  readonly chunk: Uint8Array
  readonly isLast: boolean
}

/** All chunks but the last have the same size, because the deflated bytes depend on it. */
async function* chunksOf({ source, name }: ArchivedFile): AsyncGenerator<Chunk> {
  if (typeof source !== 'string') {
    yield { chunk: source, isLast: true }
    return
  }
  const handle = await openSource(source, name)
  try {
    for (let isLast = false; !isLast;) {
      const chunk = await readChunk(handle)
      isLast = chunk.length < CHUNK_BYTES
      yield { chunk, isLast }
    }
  } finally {
    await handle.close()
  }
}

/** Reads from the current position. A shorter chunk is the last one. */
async function readChunk(handle: FileHandle): Promise<Uint8Array> {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  let filled = 0
  while (filled < CHUNK_BYTES) {
    const { bytesRead } = await handle.read(chunk, filled, CHUNK_BYTES - filled, null)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return chunk.subarray(0, filled)
}

function changed(name: string): ServerError {
  const text = `${JSON.stringify(name)} has changed while the archive was written. Try again.`
  return new ServerError('InvalidModelException', text)
}
