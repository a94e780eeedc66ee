/** Random access to an archive for yauzl. */
import { RandomAccessReader } from 'yauzl'
import { invalidArchive } from './limits.ts'

const BLOCK_BYTES = 64 * 1024

/** An open file, or anything with the same `read`. */
export interface ByteSource {
  read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>
}

/**
 * Reads from a source that its owner closes. Every position is checked before `fs.read`, because
 * that throws for the 64-bit offsets of a zip64 record, and an exception in yauzl's callback would
 * end the process. Small reads come from one cached block, because a directory needs thousands of
 * them.
 */
export class ArchiveReader extends RandomAccessReader {
  readonly #source: ByteSource
  readonly #size: number
  readonly #block: Buffer
  #blockStart = 0
  #blockEnd = 0

  constructor(source: ByteSource, size: number) {
    super()
    this.#source = source
    this.#size = size
    this.#block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, size))
  }

  override read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    finish: (error: Error | null) => void,
  ): void {
    if (!(position >= 0 && position + length <= this.#size)) {
      finish(invalidArchive('it has an offset beyond its end'))
    } else if (position >= this.#blockStart && position + length <= this.#blockEnd) {
      const start = position - this.#blockStart
      this.#block.copy(target, offset, start, start + length)
      finish(null)
    } else {
      this.#readSource(target.subarray(offset, offset + length), position).then(
        () => finish(null),
        finish,
      )
    }
  }

  async #readSource(target: Buffer, position: number): Promise<void> {
    if (target.length > this.#block.length) {
      await readExactly(this.#source, target, position)
      return
    }
    const length = Math.min(this.#block.length, this.#size - position)
    this.#blockEnd = 0
    await readExactly(this.#source, this.#block.subarray(0, length), position)
    this.#blockStart = position
    this.#blockEnd = position + length
    this.#block.copy(target, 0, 0, target.length)
  }
}

/**
 * Fills `target` from `position` on.
 * @throws ServerError `InvalidModelException` if the source ends before.
 */
export async function readExactly(
  source: ByteSource,
  target: Buffer,
  position: number,
): Promise<void> {
  let done = 0
  while (done < target.length) {
    const { bytesRead } = await source.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) throw invalidArchive('it is truncated')
    done += bytesRead
  }
}
