import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isSameProcess, startOfProcess } from '../../process-identity.ts'

/** Node 20 silently cuts a unix socket path at 107 bytes; this leaves room for `/w1234567.sock`. */
const MAX_PATH_BYTES = 90
/** `onnxd-<pid>-<start>-<random>`: the name says whose it is. */
const OWNED = /^onnxd-(\d+)-([0-9a-z.]+)-\w{6}$/

/**
 * The folder of one server instance for sockets, FIFOs and unpacked archives: made with mode 0700
 * under a name nobody can guess, removed when the server stops.
 */
export class RuntimeDirectory {
  readonly path: string
  #nextSocket = 1

  private constructor(folder: string) {
    this.path = folder
  }

  /** Makes the folder, and removes those of servers that were killed before they could do it. */
  static async create(parent: string = tmpdir()): Promise<RuntimeDirectory> {
    await removeAbandoned(parent)
    const start = (await startOfProcess(process.pid)) ?? '0'
    const prefix = path.join(parent, `onnxd-${process.pid}-${start}-`)
    if (Buffer.byteLength(prefix) + 6 > MAX_PATH_BYTES) {
      throw new Error(
        `The temporary folder ${parent} has too long a path for unix sockets; set TMPDIR to a shorter one.`,
      )
    }
    return new RuntimeDirectory(await mkdtemp(prefix))
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

async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid = '', start] = OWNED.exec(name) ?? []
    if (pid === '' || (await isSameProcess(Number(pid), start))) continue
    // Another user's folder cannot be removed, and is not ours to care for.
    await rm(path.join(parent, name), { recursive: true, force: true }).catch(() => {})
  }
}
