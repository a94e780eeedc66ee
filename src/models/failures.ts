/** What should be served and is not, with the reason, as `GET /models` lists it. */
import { ServerError, messageOf } from '../errors.ts'
import type { PreparedModel } from './sources/prepare.ts'

/** Something that should be served and could not be loaded. */
export interface FailedModel {
  /** What was to be loaded, as it was written. */
  readonly url: string
  /** Under which name, once that was known. */
  readonly name: string | undefined
  /** Absent where several versions were to be loaded as well. */
  readonly version: string | undefined
  readonly reason: string
  /** Last lines of the worker that could not load it. */
  readonly log: readonly string[]
  readonly failedAt: Date
}

/** Failures that are remembered. */
const MAX_FAILURES = 100

/** The start's failures, and those of registrations that nobody waited for, until the model is served after all. */
export class Failures {
  #all: readonly FailedModel[] = []

  /** Oldest first. */
  get all(): readonly FailedModel[] {
    return this.#all
  }

  /**
   * Notes a failure; an earlier one of the same model from the same place is replaced.
   * @param models What the url turned out to be; empty when it failed before that was known.
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

  /** A model is served: what failed under its name, or at the place it was loaded from, is over. */
  settle({ name, version, url, delivery }: PreparedModel): void {
    // Two uploads may have one file name and nothing else in common.
    const isSamePlace = (failure: FailedModel): boolean =>
      delivery === undefined && failure.url === url
    const isSameModel = (failure: FailedModel): boolean =>
      failure.name === name && (failure.version ?? version) === version
    this.#all = this.#all.filter((failure) => !isSamePlace(failure) && !isSameModel(failure))
  }

  /** Nobody wants the models of a name any more. */
  forget(name: string): void {
    this.#all = this.#all.filter((failure) => failure.name !== name)
  }
}
