/** Replays requests without a server, to compare the eviction policy with plain LRU. */
import { EvictionPolicy } from '../../src/models/residency/eviction-policy.ts'
import { randomNumbers } from '../../test/helpers/random.ts'

/** What it costs to load a model. */
export interface Cost {
  readonly loadMs: number
  readonly bytes: number
}

/** Result of one policy. */
export interface Replayed {
  /** Share of the requests whose model was loaded. */
  readonly hitRate: number
  readonly loadSeconds: number
}

interface Policy {
  use(model: number): void
  add(model: number, cost: Cost): void
  /** Removes the model that goes first, and returns it. */
  evict(): number | undefined
}

/** Returns numbers of models; the most popular one is 0. The share of rank r is r^-exponent. */
export function zipf(count: number, exponent: number, seed: number): () => number {
  const random = randomNumbers(seed)
  const sums: number[] = []
  let sum = 0
  for (let rank = 1; rank <= count; rank += 1) sums.push((sum += rank ** -exponent))
  return () => {
    const wanted = random.next() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? sum) > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** The policy of the server. */
export function ownPolicy(): Policy {
  const policy = new EvictionPolicy<number>()
  return {
    use: (model) => policy.recordUse(model),
    add: (model, { loadMs, bytes }) => policy.add(model, loadMs, bytes),
    evict: () => {
      const [first] = policy.order
      if (first !== undefined) policy.evict(first)
      return first
    },
  }
}

/** Removes the model that was not used for the longest time. */
export function leastRecentlyUsed(): Policy {
  const loaded = new Set<number>()
  const use = (model: number): void => {
    loaded.delete(model)
    loaded.add(model)
  }
  return {
    use,
    add: use,
    evict: () => {
      const [first] = loaded
      if (first !== undefined) loaded.delete(first)
      return first
    },
  }
}

/** Serves requests one after another with room for `capacityBytes`. */
export function replay(
  requests: readonly number[],
  costOf: (model: number) => Cost,
  capacityBytes: number,
  policy: Policy,
): Replayed {
  const loaded = new Set<number>()
  let [used, hits, loadMs] = [0, 0, 0]
  for (const model of requests) {
    if (loaded.has(model)) {
      hits += 1
      policy.use(model)
      continue
    }
    const cost = costOf(model)
    while (used + cost.bytes > capacityBytes) {
      const victim = policy.evict()
      if (victim === undefined) break
      loaded.delete(victim)
      used -= costOf(victim).bytes
    }
    policy.add(model, cost)
    loaded.add(model)
    used += cost.bytes
    loadMs += cost.loadMs
  }
  return { hitRate: hits / requests.length, loadSeconds: loadMs / 1000 }
}
