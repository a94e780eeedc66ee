import { createHash } from 'node:crypto'

/** A document as it is sent. */
export interface WrittenDocument {
  readonly text: string
  /** Strong: a hash of the text, which holds nothing that changes by itself. */
  readonly etag: string
}

/** Documents that were written since the models changed last. */
export class DocumentCache {
  #state: readonly unknown[] = []
  readonly #written = new Map<string, WrittenDocument>()

  /**
   * The document `key`, written anew when there is none of this state.
   * @param state What all documents depend on, compared by identity.
   */
  get(state: readonly unknown[], key: string, write: () => string): WrittenDocument {
    if (!isSame(state, this.#state)) {
      this.#written.clear()
      this.#state = state
    }
    const found = this.#written.get(key)
    if (found !== undefined) return found
    const text = write()
    const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
    const written = { text, etag }
    this.#written.set(key, written)
    return written
  }
}

function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index])
}
