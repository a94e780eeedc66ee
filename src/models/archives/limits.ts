/** Size limits of an archive, and the errors that name a problem of one. */
import { ServerError } from '../../errors.ts'

const MIB = 1024 * 1024
const MAX_SHOWN_NAME = 100

/** Limits of an archive. Byte limits apply to unpacked files. */
export interface ArchiveLimits {
  readonly maxEntries: number
  /** Maximum bytes of all files together, and of the archive itself. */
  readonly maxTotalBytes: number
  /** Maximum bytes of one entry's path. */
  readonly maxPathBytes: number
  /** Maximum number of folders and file name in one entry's path. */
  readonly maxDepth: number
  /**
   * Maximum of unpacked bytes per packed byte, for one entry and for the archive. It applies above
   * `ratioFreeBytes`.
   */
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

/** The error for an archive that is rejected for its form. */
export function invalidArchive(problem: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', `The archive was rejected: ${problem}.`, {
    cause,
  })
}

/** The error for an archive that is rejected for its size. */
export function archiveTooLarge(problem: string): ServerError {
  return new ServerError('PayloadTooLargeException', `The archive was rejected: ${problem}.`)
}

/**
 * An entry's name for an error text: quoted, cut, and without characters that control a terminal.
 */
export function shownName(name: string): string {
  const cut = name.length > MAX_SHOWN_NAME ? `${name.slice(0, MAX_SHOWN_NAME)}…` : name
  return JSON.stringify(cut).replace(
    /\p{C}/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  )
}
