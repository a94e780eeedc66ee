/** Takes a stream of bytes apart by lengths known beforehand. */
import { invalidArchive } from './limits.ts'

/** Reads what the last call left over first. Only one call may be under way at a time. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /**
   * Exactly `length` bytes, which are kept in memory.
   * @throws ServerError `InvalidModelException` when the stream ends before.
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

  /** The next `length` bytes, piece by piece. */
  async *pieces(length: number): AsyncGenerator<Buffer> {
    let missing = length
    while (missing > 0) {
      const chunk = await this.next()
      if (chunk === undefined) throw invalidArchive('it ends too early')
      const piece = chunk.subarray(0, missing)
      this.#rest = chunk.subarray(piece.length)
      missing -= piece.length
      yield piece
    }
  }

  /** Whatever comes next, `undefined` at the end. */
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
