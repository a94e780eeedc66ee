/** The shadows of models in the saved state. */
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { Registry } from '../registry.ts'
import type { StoredShadow } from './state-format.ts'

/** Sets the saved shadows again. Those of models without their version stay for the next start. */
export class SavedShadows {
  readonly #registry: Registry
  readonly #log: Logger
  #unused: readonly StoredShadow[] = []

  constructor(registry: Registry, log: Logger) {
    this.#registry = registry
    this.#log = log
  }

  /** Keeps the shadows of a state until {@link restore}. */
  read(shadows: readonly StoredShadow[] = []): void {
    this.#unused = shadows
  }

  async restore(): Promise<void> {
    const left: StoredShadow[] = []
    for (const stored of this.#unused) {
      const { name, shadow } = stored
      try {
        await this.#registry.shadows.set(name, shadow, false)
      } catch (error) {
        left.push(stored)
        const reason = messageOf(error)
        this.#log.error({ model: name, reason }, 'shadow could not be restored')
      }
    }
    this.#unused = left
  }

  /** A shadow that was set since the start replaces one that could not be restored. */
  get all(): StoredShadow[] {
    const { all } = this.#registry.shadows
    const left = this.#unused.filter(({ name }) => all.every((one) => one.name !== name))
    return [...all, ...left]
  }

  /** Drops the shadow of a model that could not be restored. */
  forget(model: string): () => void {
    const unused = this.#unused
    this.#unused = unused.filter(({ name }) => name !== model)
    return () => {
      this.#unused = unused
    }
  }
}
