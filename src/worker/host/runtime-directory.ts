import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Node 20 silently cuts a unix socket path at 107 bytes; this leaves room for `/w1234567.sock`. */
const MAX_PATH_BYTES = 88

/**
 * The folder of one server instance for sockets, FIFOs and unpacked archives: made with mode 0700
 * under a name nobody can guess, removed when the server stops.
 */
export class RuntimeDirectory {
  readonly path: string
  #nextSocket = 1

  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(path.join(parent, 'onnxd-'))
    if (Buffer.byteLength(this.path) <= MAX_PATH_BYTES) return
    this.remove()
    throw new Error(
      `The temporary folder ${parent} has too long a path for unix sockets; set TMPDIR to a shorter one.`,
    )
  }

  /** A socket path that this instance has not used yet. */
  nextSocketPath(): string {
    return path.join(this.path, `w${this.#nextSocket++}.sock`)
  }

  /** Removes the folder with all it holds. Safe to call again, and from an exit hook. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
