/** Splits a stream of bytes into parts of known lengths. */
import { invalidArchive } from './limits.ts'

/** Begins each read with the rest of the previous one. Only one call may run at a time. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /**
   * Returns exactly `length` bytes, which are kept in memory.
   * @throws ServerError `InvalidModelException` if the stream ends before.
   */
  async read(length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafe(length)
    let done = 0
    for await (const piece of this.pieces(length)) {
      piece.copy(target, done)
      done += piece.length
    }
    return target
  }

  /** Yields the next `length` bytes, piece by piece. */
  async *pieces(length: number): AsyncGenerator<Buffer> {
    let missing = length
    while (missing > 0) {
      const chunk = await this.next()
      if (chunk === undefined) throw invalidArchive('it is truncated')
      const piece = chunk.subarray(0, missing)
      this.#rest = chunk.subarray(piece.length)
      missing -= piece.length
      yield piece
    }
  }

  /** Returns the next piece of any length; `undefined` at the end. */
  async next(): Promise<Buffer | undefined> {
    if (this.#rest.length > 0) {
      const rest = this.#rest
      this.#rest = Buffer.alloc(0)
      return rest
    }
    const result = await this.#chunks.next()
    return result.done === true ? undefined : result.value
  }
}
