/** How large an archive may be, and the error that names what is wrong with one. */
import { ServerError } from '../../errors.ts'

const MIB = 1024 * 1024
const MAX_SHOWN_NAME = 100

/** What an archive may hold; bytes are those of the files unpacked. */
export interface ArchiveLimits {
  readonly maxEntries: number
  /** Bytes of all files together, and of the archive itself. */
  readonly maxTotalBytes: number
  /** Bytes of one entry's path. */
  readonly maxPathBytes: number
  /** Folders and file name of one entry's path. */
  readonly maxDepth: number
  /** Unpacked bytes for each packed byte, of one entry and of the archive, above `ratioFreeBytes`. */
  readonly maxRatio: number
  readonly ratioFreeBytes: number
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  maxEntries: 10_000,
  maxTotalBytes: 4096 * MIB,
  maxPathBytes: 512,
  maxDepth: 32,
  maxRatio: 200,
  ratioFreeBytes: 10 * MIB,
}

/** An archive that is refused for its form. */
export function invalidArchive(problem: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', `The archive is refused: ${problem}.`, { cause })
}

/** An archive that is refused for its size. */
export function archiveTooLarge(problem: string): ServerError {
  return new ServerError('PayloadTooLargeException', `The archive is refused: ${problem}.`)
}

/** An entry's name for an error: in quotes, cut, and without characters that act on a terminal. */
export function shownName(name: string): string {
  const cut = name.length > MAX_SHOWN_NAME ? `${name.slice(0, MAX_SHOWN_NAME)}…` : name
  return JSON.stringify(cut).replace(
    /\p{C}/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  )
}
