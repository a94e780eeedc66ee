import { timingSafeEqual } from 'node:crypto'
import { hashOf } from './token-list.ts'
import type { Area, Token } from './token-list.ts'

/** The API tokens that are valid now. */
export class Tokens {
  #tokens: readonly Token[] = []
  readonly #guarded = new Set<Area>()

  constructor(tokens: readonly Token[]) {
    this.replace(tokens)
  }

  /**
   * Whether requests of an area need a token. Once an area had a token it needs one for ever: if
   * the last one is removed, every request is rejected.
   */
  guards(area: Area): boolean {
    return this.#guarded.has(area)
  }

  /** Replaces all tokens. Requests that were already accepted finish. */
  replace(tokens: readonly Token[]): void {
    this.#tokens = tokens
    for (const { areas } of tokens) for (const area of areas) this.#guarded.add(area)
  }

  /**
   * Returns the token with this value. It compares hashes of the same length with all tokens, so
   * that the time tells nothing about a token.
   */
  find(value: string): Token | undefined {
    const hash = hashOf(value)
    let found: Token | undefined
    for (const token of this.#tokens) if (timingSafeEqual(token.sha256, hash)) found = token
    return found
  }
}
