import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

const BLOCK_BYTES = 1024 * 1024
const READABLE = 0o644

/**
 * Copies a file out of a folder that another user can write to. That user could put a link to a
 * file there that only the server may read.
 * @throws Error if it is not a regular file of that user; Error of the file system.
 */
export async function copyForeign(from: string, to: string, owner: number): Promise<void> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const source = await open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const stats = await source.stat()
    if (!stats.isFile() || stats.uid !== owner) throw new Error('a written file was replaced')
    const target = await open(to, 'wx', READABLE)
    try {
      const block = Buffer.allocUnsafe(BLOCK_BYTES)
      for (;;) {
        const { bytesRead } = await source.read(block, 0, BLOCK_BYTES)
        if (bytesRead === 0) break
        await target.writeFile(block.subarray(0, bytesRead))
      }
      await target.chmod(READABLE)
      await target.sync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}
