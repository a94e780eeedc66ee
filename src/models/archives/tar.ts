/**
 * Unpacks `.tar.gz`, the format of SageMaker and of TorchServe's archiver. A tar file has no
 * directory, so each header is checked while it streams, before any data of its entry is written.
 *
 * The parser is our own because libraries accept malformed headers without reporting them, see
 * docs/dependencies.md.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { ServerError } from '../../errors.ts'
import { EntryNames } from './entry-names.ts'
import { archiveTooLarge, invalidArchive, shownName } from './limits.ts'
import type { ArchiveLimits } from './limits.ts'
import { checkFreeSpace, createPrivateFile } from './private-file.ts'
import { parseTarExtension } from './tar-extension.ts'
import type { TarExtension } from './tar-extension.ts'
import { TAR_BLOCK_BYTES, parseTarHeader } from './tar-header.ts'
import type { TarHeader } from './tar-header.ts'
import { TarReader } from './tar-reader.ts'
import { exceedsRatio } from './zip-entry.ts'

const CHUNK_BYTES = 256 * 1024
const MAX_EXTENSION_BYTES = 1024 * 1024
const ZERO_BLOCK = Buffer.alloc(TAR_BLOCK_BYTES)
const CURRENT_FOLDER = Buffer.from('./')

/**
 * Unpacks the gzip stream `packed` of `packedBytes` into `destination`, an empty folder that the
 * caller removes after a failure. Writes only regular files and folders, with the modes of
 * `extractArchive`.
 * @throws ServerError `InvalidModelException` (form) or `PayloadTooLargeException` (size).
 */
export async function extractTarGz(
  packed: AsyncIterable<Buffer>,
  packedBytes: number,
  destination: string,
  limits: ArchiveLimits,
): Promise<void> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
  let extraction: Promise<void> | undefined
  const flow = pipeline(packed, gunzip, (chunks: AsyncIterable<Buffer>) => {
    const reader = new TarReader(capped(chunks, packedBytes, limits))
    extraction = new TarExtraction(reader, destination, limits).run()
    return extraction
  })
  // A pipeline fails with its first stream, while the extraction may still create a file. Both must
  // have ended before the caller may remove the folder. The error of the extraction is more
  // precise.
  for (const result of (await Promise.allSettled([flow, extraction])).toReversed()) {
    if (result.status === 'fulfilled') continue
    if (!isGzipError(result.reason)) throw result.reason
    throw invalidArchive('it is not a complete gzip stream', result.reason)
  }
  if (gunzip.bytesWritten !== packedBytes) {
    throw invalidArchive('it is not a complete gzip stream')
  }
}

/** One run over the entries of a tar file. */
class TarExtraction {
  readonly #reader: TarReader
  readonly #destination: string
  readonly #limits: ArchiveLimits
  readonly #names: EntryNames
  readonly #folders = new Set<string>()
  #entries = 0
  #totalBytes = 0

  constructor(reader: TarReader, destination: string, limits: ArchiveLimits) {
    this.#reader = reader
    this.#destination = destination
    this.#limits = limits
    this.#names = new EntryNames(limits)
  }

  async run(): Promise<void> {
    for (;;) {
      const header = await this.#readEntryHeader()
      if (header === undefined) break
      await this.#unpack(header)
    }
    if (this.#entries === 0) throw invalidArchive('it is empty')
    // Archivers fill the last record with zeros. A second archive after the end would be hidden.
    for (
      let rest = await this.#reader.next();
      rest !== undefined;
      rest = await this.#reader.next()
    ) {
      if (rest.some((byte) => byte !== 0)) throw invalidArchive('it has data after its end')
    }
  }

  /**
   * Returns the header of the next file or folder, combined with the headers that describe it;
   * `undefined` at the end.
   */
  async #readEntryHeader(): Promise<TarHeader | undefined> {
    let longName: Buffer | undefined
    let extension: TarExtension | undefined
    for (;;) {
      const header = await this.#readHeader()
      const describes = longName !== undefined || extension !== undefined
      if (header === undefined) {
        if (describes) throw invalidArchive('its last header extension belongs to no entry')
        return undefined
      }
      switch (header.kind) {
        case 'long-name':
          if (longName !== undefined) throw describedTwice()
          longName = withoutNul(await this.#readExtension(header))
          break
        case 'extension':
          if (extension !== undefined) throw describedTwice()
          extension = parseTarExtension(await this.#readExtension(header))
          break
        case 'global-extension': {
          // `git archive` writes a comment. A name or a size for all entries makes no sense.
          const { path: name, bytes } = parseTarExtension(await this.#readExtension(header))
          if (name !== undefined || bytes !== undefined || describes) throw describedTwice()
          this.#count()
          break
        }
        case 'file':
        case 'folder':
          if (longName !== undefined && extension?.path !== undefined) throw describedTwice()
          return {
            kind: header.kind,
            name: longName ?? extension?.path ?? header.name,
            bytes: extension?.bytes ?? header.bytes,
          }
      }
    }
  }

  async #readHeader(): Promise<TarHeader | undefined> {
    const block = await this.#reader.read(TAR_BLOCK_BYTES)
    if (!block.equals(ZERO_BLOCK)) return parseTarHeader(block)
    const second = await this.#reader.read(TAR_BLOCK_BYTES)
    if (!second.equals(ZERO_BLOCK)) throw invalidArchive('it has data after its end')
    return undefined
  }

  async #readExtension({ bytes }: TarHeader): Promise<Buffer> {
    if (bytes > MAX_EXTENSION_BYTES) throw invalidArchive('it has a header larger than 1 MiB')
    const data = await this.#reader.read(bytes)
    await this.#reader.read(paddingOf(bytes))
    return data
  }

  async #unpack({ kind, name: written, bytes }: TarHeader): Promise<void> {
    this.#count()
    const raw = relativeName(written, kind === 'folder')
    if (raw === undefined) return
    const name = this.#names.add(raw)
    const shown = shownName(name.path)
    const target = path.join(this.#destination, name.path)
    if (kind === 'folder') {
      if (bytes > 0) throw invalidArchive(`entry ${shown} is a folder with a file size`)
      await this.#makeFolder(target)
      return
    }
    if (name.isFolder) throw invalidArchive(`entry ${shown} is a file whose name ends in a slash`)
    this.#totalBytes += bytes
    if (this.#totalBytes > this.#limits.maxTotalBytes) {
      throw archiveTooLarge(
        `its files are larger than ${this.#limits.maxTotalBytes} bytes together`,
      )
    }
    if (bytes > 0) await checkFreeSpace(bytes, this.#destination)
    await this.#makeFolder(path.dirname(target))
    const file = await createPrivateFile(target)
    try {
      await writeFile(file, this.#reader.pieces(bytes))
    } finally {
      await file.close()
    }
    await this.#reader.read(paddingOf(bytes))
  }

  /** Asks the file system once per folder, because an archive may hold thousands of files. */
  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return
    await mkdir(folder, { recursive: true, mode: 0o700 })
    this.#folders.add(folder)
  }

  #count(): void {
    this.#entries += 1
    if (this.#entries > this.#limits.maxEntries) {
      throw invalidArchive(`it has more than ${this.#limits.maxEntries} entries`)
    }
  }
}

/**
 * Passes on the unpacked stream while it stays within the limits, which include headers and
 * padding.
 */
async function* capped(
  chunks: AsyncIterable<Buffer>,
  packedBytes: number,
  limits: ArchiveLimits,
): AsyncGenerator<Buffer> {
  let bytes = 0
  // Headers, extensions and padding count too: they need no disk space, but they cost time.
  const maxBytes = limits.maxTotalBytes + (limits.maxEntries + 32) * 4 * TAR_BLOCK_BYTES
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > maxBytes) throw archiveTooLarge(`it unpacks to more than ${maxBytes} bytes`)
    if (exceedsRatio(bytes, packedBytes, limits)) {
      throw archiveTooLarge(`it unpacks to more than ${limits.maxRatio} times its size`)
    }
    yield chunk
  }
}

/**
 * Returns the name without the leading `./` that `tar -C folder .` writes; `undefined` for that
 * folder itself.
 */
function relativeName(name: Buffer, isFolder: boolean): Buffer | undefined {
  const withSlash =
    isFolder && name.at(-1) !== 0x2f ? Buffer.concat([name, Buffer.from('/')]) : name
  if (isFolder && withSlash.equals(CURRENT_FOLDER)) return undefined
  return withSlash.subarray(0, 2).equals(CURRENT_FOLDER) ? withSlash.subarray(2) : withSlash
}

function paddingOf(bytes: number): number {
  return (TAR_BLOCK_BYTES - (bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES
}

function withoutNul(name: Buffer): Buffer {
  return name.at(-1) === 0 ? name.subarray(0, -1) : name
}

function describedTwice(): ServerError {
  return invalidArchive('it has an entry with two header extensions of the same kind')
}

/** Whether zlib threw the error: its codes start with `Z_`, for example `Z_DATA_ERROR`. */
function isGzipError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')
}
