import { lstatSync, unlinkSync } from 'node:fs'

/**
 * Sockets and FIFOs of this process, which are removed when it ends. The calls are synchronous, so
 * an exit hook can use them. A path that now belongs to another file (a socket of the next worker)
 * is not removed.
 */
export class TemporaryFiles {
  readonly #inodes = new Map<string, number>()

  /** Registers a file that was just created. */
  add(path: string): void {
    this.#inodes.set(path, lstatSync(path).ino)
  }

  remove(path: string): void {
    const inode = this.#inodes.get(path)
    this.#inodes.delete(path)
    if (inode !== undefined && lstatSync(path, { throwIfNoEntry: false })?.ino === inode) {
      unlinkSync(path)
    }
  }

  removeAll(): void {
    for (const path of this.#inodes.keys()) this.remove(path)
  }
}
