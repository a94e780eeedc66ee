/** Deep checks of registered models, one after the other. */
import { DEFAULT_DEEP_CHECK_MS } from './deep-check.ts'
import type { DeepCheck } from './deep-check.ts'

/** The part of a version that is needed. */
interface CheckedVersion {
  readonly measurements: { readonly deepCheck: DeepCheck }
}

export class DeepCheckQueue {
  readonly #stopping: AbortSignal
  #last: Promise<void> = Promise.resolve()

  /** @param stopping Aborted when the server stops. */
  constructor(stopping: AbortSignal) {
    this.#stopping = stopping
  }

  /** Checks versions once they are loaded. The result is shown in their descriptions. */
  runAfter(loaded: Promise<readonly CheckedVersion[]>): void {
    loaded.then(
      (versions) => {
        for (const { measurements } of versions) {
          const { deepCheck } = measurements
          deepCheck.announce()
          this.#last = this.#last
            .then(() => deepCheck.run(DEFAULT_DEEP_CHECK_MS, this.#stopping))
            // The version was unregistered, or the server stops.
            .then(
              () => {},
              () => {},
            )
        }
      },
      // The registration reports it.
      () => {},
    )
  }
}
