import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { Undo } from '../changes.ts'
import type { Registry } from '../registry.ts'
import type { ServerState, StoredRollout, StoredRouting } from './state-format.ts'

/** What is saved of the division of requests. */
type SavedParts = Pick<ServerState, 'routings' | 'rollouts'>

/**
 * The labels, weights and rollouts of the state. Those of versions that this start has not loaded
 * stay in the file, because the next start may load them.
 */
export class SavedRoutings {
  readonly #registry: Registry
  readonly #log: Pick<Logger, 'error'>
  #routings: readonly StoredRouting[] = []
  #rollouts: readonly StoredRollout[] = []

  constructor(registry: Registry, log: Pick<Logger, 'error'>) {
    this.#registry = registry
    this.#log = log
  }

  /** Takes what was saved, to restore it later. */
  take({ routings = [], rollouts = [] }: SavedParts): void {
    this.#routings = routings
    this.#rollouts = rollouts
  }

  /** Sets labels and weights again, and continues rollouts. */
  async restore(): Promise<void> {
    const { routing, rollouts } = this.#registry
    this.#routings = await this.#left(this.#routings, 'routing could not be restored', (stored) =>
      routing.set(stored.name, stored.routing, false),
    )
    this.#rollouts = await this.#left(this.#rollouts, 'rollout could not be restored', (stored) =>
      rollouts.restore(stored.name, stored.rollout),
    )
  }

  /** What to save. What was set since the start replaces what could not be restored. */
  get current(): SavedParts {
    const { routing, rollouts } = this.#registry
    return {
      routings: [...routing.all, ...without(this.#routings, routing.all)],
      rollouts: [...rollouts.all, ...without(this.#rollouts, rollouts.all)],
    }
  }

  /** Forgets what could not be restored of a model. */
  forget(name: string): Undo {
    const [routings, rollouts] = [this.#routings, this.#rollouts]
    const isOther = (stored: { readonly name: string }): boolean => stored.name !== name
    this.take({ routings: routings.filter(isOther), rollouts: rollouts.filter(isOther) })
    return () => this.take({ routings: [...routings], rollouts: [...rollouts] })
  }

  /** Returns those that could not be restored. */
  async #left<T extends { readonly name: string }>(
    all: readonly T[],
    problem: string,
    restore: (stored: T) => Promise<unknown>,
  ): Promise<readonly T[]> {
    const left: T[] = []
    for (const stored of all) {
      try {
        await restore(stored)
      } catch (error) {
        left.push(stored)
        this.#log.error({ model: stored.name, reason: messageOf(error) }, problem)
      }
    }
    return left
  }
}

function without<T extends { readonly name: string }>(
  all: readonly T[],
  others: readonly { readonly name: string }[],
): readonly T[] {
  const names = new Set(others.map(({ name }) => name))
  return all.filter(({ name }) => !names.has(name))
}
