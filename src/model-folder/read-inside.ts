/** Reads small files that may be replaced by links at any moment. */
import { constants } from 'node:fs'
import { open, readlink, realpath } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../errors.ts'
import { codeOf } from '../system/process-identity.ts'

/** O_NONBLOCK: without it, opening a FIFO could block forever. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/** Limits for a file. */
export interface ReadLimits {
  /** Real path that must contain the file; `undefined` for no limit. */
  readonly root: string | undefined
  readonly maxBytes: number
}

/**
 * Reads the text of a file. The checks run on the open file, because the path may lead elsewhere a
 * moment later.
 * @throws ServerError `InvalidModelException` that names the file; Error of the file system.
 */
export async function readTextInside(
  file: string,
  { root, maxBytes }: ReadLimits,
): Promise<string> {
  const name = path.basename(file)
  const handle = await open(file, FLAGS).catch((cause: unknown) => {
    // The file is a socket.
    throw codeOf(cause) === 'ENXIO' ? invalid(`${name} is not a file.`) : cause
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw invalid(`${name} is not a file.`)
    if (root !== undefined && !(await isInside(handle, file, root)))
      throw invalid(`${JSON.stringify(name)} points outside the model store.`)
    if (stats.size > maxBytes) throw invalid(`${name} is larger than ${shownSize(maxBytes)}.`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/** Whether an open file is below `root`, a real path. */
export async function isInside(handle: FileHandle, file: string, root: string): Promise<boolean> {
  // Systems without `/proc` can only resolve the path again.
  const location = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => realpath(file))
  return location.startsWith(root.endsWith(path.sep) ? root : root + path.sep)
}

function shownSize(bytes: number): string {
  const kib = bytes / 1024
  return kib % 1024 === 0 ? `${kib / 1024} MiB` : `${kib} KiB`
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
