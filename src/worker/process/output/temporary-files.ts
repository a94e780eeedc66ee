import { lstatSync, unlinkSync } from 'node:fs'

/**
 * Sockets and FIFOs of this process, which go with it. Synchronous, so that an exit hook can use it.
 * A name that has come to mean another file (a successor's socket) is left alone.
 */
export class TemporaryFiles {
  readonly #inodes = new Map<string, number>()

  /** Takes charge of a file that was just made. */
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
