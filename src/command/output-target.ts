import { constants, fstatSync, openSync } from 'node:fs'
import process from 'node:process'

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants

/** Where the bytes of an output go. */
export interface OutputTarget {
  readonly fd: number
  /** A write may take long, so it must not happen on the thread that serves requests. */
  readonly mayBlock: boolean
}

/**
 * Opens the file behind a descriptor so that a write to it does not block. The descriptor itself is shared with the
 * program that started this one, which may not expect it to be non-blocking; a file that is opened again is not.
 * @throws Error of the system, for example `ENXIO` for a FIFO that has no reader. It may be tried again.
 */
export function openTarget(fd: number): OutputTarget {
  const kind = fstatSync(fd)
  // No flag keeps a write to a full or distant disk from taking its time.
  if (kind.isFile() || kind.isBlockDevice()) return { fd, mayBlock: true }
  if (!kind.isSocket()) {
    try {
      const flags = O_WRONLY | O_NONBLOCK | O_NOCTTY
      return { fd: openSync(`/dev/fd/${fd}`, flags), mayBlock: false }
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENXIO') throw error
      // Another user's pipe or terminal cannot be opened again, and some systems have no /dev/fd.
    }
  }
  // A socket cannot be opened again either. Node's own stream, once it is made, leaves the descriptor non-blocking.
  if (fd === 1) void process.stdout
  if (fd === 2) void process.stderr
  return { fd, mayBlock: false }
}
