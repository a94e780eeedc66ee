/** Divides the requests of a model among its versions. */
import { createHash } from 'node:crypto'
import { versionOfLabel } from './routing.ts'
import type { Routing } from './routing.ts'

/** Bytes of a hash that become the place of a key. */
const PLACE_BYTES = 6

/** A version, and the end of its part of `[0, 1)`. */
interface Share {
  readonly version: string
  readonly end: number
}

/**
 * The versions of a model, each with its part of `[0, 1)`. The parts lie in the order of the names
 * of labels and versions. When the weights of two of them change, a key changes its version only if
 * it lies between the old and the new border.
 */
export class VersionChooser {
  readonly routing: Routing
  readonly #model: string
  readonly #shares: readonly Share[]

  constructor(model: string, routing: Routing) {
    this.#model = model
    this.routing = routing
    const weights = Object.entries(routing.weights ?? {})
      .filter(([, weight]) => weight > 0)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
    const sum = weights.reduce((total, [, weight]) => total + weight, 0)
    let before = 0
    this.#shares = weights.map(([name, weight]) => {
      before += weight
      return { version: versionOfLabel(routing, name) ?? name, end: before / sum }
    })
  }

  /**
   * Returns the version of a request; `undefined` if there are no weights.
   * @param key Requests with the same key get the same version, those without one any version.
   */
  choose(key: string | undefined): string | undefined {
    if (this.#shares.length === 0) return undefined
    const place = key === undefined ? Math.random() : placeOf(this.#model, key)
    return this.#shares.find(({ end }) => place < end)?.version
  }

  /** The version that a label names. */
  versionOf(label: string): string | undefined {
    return versionOfLabel(this.routing, label)
  }
}

/** A place in `[0, 1)`. Keys are evenly distributed, and differently for each model. */
function placeOf(model: string, key: string): number {
  const digest = createHash('sha256').update(`${model}\0${key}`).digest()
  return digest.readUIntBE(0, PLACE_BYTES) / 2 ** (8 * PLACE_BYTES)
}
