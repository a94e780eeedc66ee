import { constants, fstatSync, openSync } from 'node:fs'
import process from 'node:process'

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants

/** The descriptor that an output writes to. */
export interface OutputTarget {
  readonly fd: number
  /**
   * Whether a write may take long. Such a write must not run on the thread that serves requests.
   */
  readonly mayBlock: boolean
}

/**
 * Opens the file behind a descriptor again, so that a write to it does not block. The descriptor
 * itself is shared with the program that started this one, which may not expect it to be
 * non-blocking; the newly opened one is not shared.
 * @throws Error of the system, for example `ENXIO` for a FIFO without a reader. The caller may try
 * again.
 */
export function openTarget(fd: number): OutputTarget {
  const kind = fstatSync(fd)
  // No flag makes a write to a full or remote disk non-blocking.
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
  // A socket cannot be opened again. Node's own stream makes the descriptor non-blocking and leaves
  // it so.
  if (fd === 1) void process.stdout
  if (fd === 2) void process.stderr
  return { fd, mayBlock: false }
}
