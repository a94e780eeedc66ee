/** Models that should be served but failed to load, with the reason, for `GET /models`. */
import { ServerError, messageOf } from '../../errors.ts'
import type { PreparedModel } from '../sources/prepare.ts'

/** A model that failed to load. */
export interface FailedModel {
  /** The URL, path or name, as it was written. */
  readonly url: string
  /** The model's name; `undefined` if the load failed before it was known. */
  readonly name: string | undefined
  /** Absent if several versions should have been loaded. */
  readonly version: string | undefined
  readonly reason: string
  /** Last lines of the worker that could not load it. */
  readonly log: readonly string[]
  readonly failedAt: Date
}

/** Maximum number of failures that are kept. */
const MAX_FAILURES = 100

/**
 * Failures of the start, and of registrations that nobody waited for. Each is kept until the model
 * is served or unregistered.
 */
export class Failures {
  #all: readonly FailedModel[] = []

  /** Oldest first. */
  get all(): readonly FailedModel[] {
    return this.#all
  }

  /**
   * Adds a failure. It replaces an earlier one of the same model and URL.
   * @param models The models found at the URL; empty if the load failed before they were known.
   */
  record(
    url: string,
    error: unknown,
    models: readonly Pick<PreparedModel, 'name' | 'version'>[],
  ): FailedModel {
    const [first, ...others] = models
    const name = first?.name
    const version = others.length > 0 ? undefined : first?.version
    const log = error instanceof ServerError ? error.log : []
    const failure = { url, name, version, reason: messageOf(error), log, failedAt: new Date() }
    const isSame = (other: FailedModel): boolean =>
      other.url === url && other.name === name && other.version === version
    this.#all = [...this.#all.filter((other) => !isSame(other)), failure].slice(-MAX_FAILURES)
    return failure
  }

  /**
   * Removes the failures of a model that is now served: those with its name and those with its URL.
   */
  settle({ name, version, url, delivery }: PreparedModel): void {
    // Two uploads with the same file name may be different models.
    const isSamePlace = (failure: FailedModel): boolean =>
      delivery === undefined && failure.url === url
    const isSameModel = (failure: FailedModel): boolean =>
      failure.name === name && (failure.version ?? version) === version
    this.#all = this.#all.filter((failure) => !isSamePlace(failure) && !isSameModel(failure))
  }

  /** Removes the failures of a name that is no longer wanted. */
  forget(name: string): void {
    this.#all = this.#all.filter((failure) => failure.name !== name)
  }
}
