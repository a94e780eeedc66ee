/** Something that should be served and could not be loaded. */
export interface FailedModel {
  readonly url: string
  readonly reason: string
  readonly failedAt: Date
}

/** Failures that are remembered. */
const MAX_FAILURES = 100

/** Why what should be served is not, by its url; the latest failures only. */
export class Failures {
  readonly #byUrl = new Map<string, FailedModel>()

  /** Oldest first. */
  get all(): readonly FailedModel[] {
    return [...this.#byUrl.values()]
  }

  record(url: string, reason: string): FailedModel {
    const failure = { url, reason, failedAt: new Date() }
    this.#byUrl.delete(url)
    this.#byUrl.set(url, failure)
    const [oldest] = this.#byUrl.keys()
    if (this.#byUrl.size > MAX_FAILURES && oldest !== undefined) this.#byUrl.delete(oldest)
    return failure
  }

  /** It could be loaded after all. */
  delete(url: string): void {
    this.#byUrl.delete(url)
  }
}
