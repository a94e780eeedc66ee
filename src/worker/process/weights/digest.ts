/** Reads files completely and returns their SHA-256. */
import { createHash } from 'node:crypto'
import type { BinaryLike, Hash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { isSameState, stateOf } from '../../../contract/shared-weights.ts'
import type { FileState } from '../../../contract/shared-weights.ts'

const BLOCK_BYTES = 4 * 1024 * 1024

/** A file that was read, and the state that it had before and after. */
export interface ReadFile {
  readonly sha256: string
  readonly bytes: number
  readonly state: FileState
}

/** A file cannot be used, for a reason that is the whole message. */
export class FileProblem extends Error {}

/** Returns the SHA-256 of a text or bytes. */
export function sha256Of(content: BinaryLike): string {
  return createHash('sha256').update(content).digest('hex')
}

/**
 * Reads a regular file and returns its SHA-256.
 * @param check Called with the file's properties before it is read.
 * @throws FileProblem if it is not a regular file, or is written to meanwhile; Error of the system.
 */
export function readDigest(
  file: string,
  { followsLinks = false, check }: { followsLinks?: boolean; check?: (stats: BigIntStats) => void },
): ReadFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const descriptor = openSync(file, O_RDONLY | O_NONBLOCK | (followsLinks ? 0 : O_NOFOLLOW))
  try {
    const stats = fstatSync(descriptor, { bigint: true })
    if (!stats.isFile()) throw new FileProblem('is not a regular file')
    check?.(stats)
    const hash = createHash('sha256')
    readInto(hash, descriptor)
    const state = stateOf(stats)
    if (!isSameState(state, stateOf(fstatSync(descriptor, { bigint: true })))) {
      throw new FileProblem('was written to while it was read')
    }
    return { sha256: hash.digest('hex'), bytes: Number(stats.size), state }
  } finally {
    closeSync(descriptor)
  }
}

function readInto(hash: Hash, descriptor: number): void {
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  for (;;) {
    const count = readSync(descriptor, block, 0, BLOCK_BYTES, null)
    if (count === 0) return
    hash.update(block.subarray(0, count))
  }
}
