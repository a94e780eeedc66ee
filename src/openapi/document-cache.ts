import { createHash } from 'node:crypto'

/** A document in the form in which it is sent. */
export interface WrittenDocument {
  readonly text: string
  /**
   * A strong ETag: the hash of the text. The text contains no time stamp or other volatile value.
   */
  readonly etag: string
}

/** Keeps the documents that were written since the models last changed. */
export class DocumentCache {
  #state: readonly unknown[] = []
  readonly #written = new Map<string, WrittenDocument>()

  /**
   * Returns the document `key`. Writes it first if `state` has changed or the key is new.
   * @param state Everything that the documents depend on. Its elements are compared by identity.
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
