/** What the property tests share: mutation of a corpus, and rounds of it under fast-check. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import * as fc from 'fast-check'
import { reportFigure } from '../faults/figures.ts'
import { isFull } from '../faults/harness.ts'
import { randomNumbers } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { sizeOf } from '../helpers/server-process.ts'

/** Minutes after which a campaign at full size ends with what it has tried. */
const FULL_MINUTES = sizeOf('ONNXD_FUZZ_MINUTES', 30)

/** A whole run of inputs that must not crash what reads them. */
export interface Fuzz {
  /** For the table of figures. */
  readonly what: string
  readonly goal: string
  /** Inputs to try in all. */
  readonly total: number
  /** Inputs that one run of the property tries. */
  readonly perRun: number
  /** Tries about `count` inputs that follow from the random numbers; returns how many it tried. */
  readonly run: (random: RandomNumbers, count: number) => number | Promise<number>
}

/**
 * Checks the property until `total` inputs were tried, at full size for half an hour at most, and
 * reports how many there were.
 */
export async function checkFuzz(t: TestContext, fuzz: Fuzz): Promise<void> {
  const { what, goal, total, perRun, run } = fuzz
  const startedAt = performance.now()
  const endsAt = isFull ? startedAt + FULL_MINUTES * 60_000 : Number.POSITIVE_INFINITY
  let tried = 0
  // fast-check makes the seeds: millions of inputs out of its own generators would take hours.
  const property = fc.asyncProperty(fc.nat(), async (seed) => {
    if (performance.now() < endsAt) tried += await run(randomNumbers(seed), perRun)
  })
  // Each run tries at least as many as it is told to. A seed has no smaller one that fails alike.
  await fc.assert(property, { numRuns: Math.ceil(total / perRun), endOnFailure: true })
  assert.ok(tried >= total || performance.now() >= endsAt, `${tried} of ${total}`)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  const seen = `${tried.toLocaleString('en')}, 0 crashes, ${seconds} s`
  if (isFull) reportFigure(t, { what, goal, seen, isMet: tried >= total })
  else t.diagnostic(seen)
}

/** A list of inputs in `test/fuzz/corpus`. */
export function corpus<Entry>(name: string): Entry[] {
  return JSON.parse(readFileSync(path.resolve('test/fuzz/corpus', `${name}.json`), 'utf8'))
}

export function pick<Item>(random: RandomNumbers, items: readonly Item[]): Item {
  const item = items[random.integer(0, items.length - 1)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

/** Room for a mutated input: without it each would cost an allocation. */
const ROOM_BYTES = 1 << 16
const INT_EDGES = [-(2 ** 31), -2, -1, 0, 1, 2, 15, 16, 17, 255, 4096, 65_536, 2 ** 31 - 1]

/** Injures byte strings, always into the same memory: a result is gone with the next one. */
export class Mutator {
  readonly #random: RandomNumbers
  readonly #tokens: readonly Buffer[]
  readonly #memory = Buffer.alloc(ROOM_BYTES)
  #length = 0

  /** @param tokens What may be put in anywhere. */
  constructor(random: RandomNumbers, tokens: readonly (string | Buffer)[] = []) {
    this.#random = random
    this.#tokens = tokens.map((token) => Buffer.from(token))
  }

  /** `input` with up to `most` injuries, or as it is. Pieces of `other` may come into it. */
  mutate(input: Buffer, other: Buffer, most = 3): Buffer {
    this.#length = input.copy(this.#memory, 0, 0, Math.min(input.length, ROOM_BYTES / 2))
    for (let injuries = this.#random.integer(0, most); injuries > 0; injuries--) this.#injure(other)
    return this.#memory.subarray(0, this.#length)
  }

  #injure(other: Buffer): void {
    const random = this.#random
    const at = random.integer(0, this.#length)
    switch (random.integer(0, 8)) {
      case 0:
        if (at < this.#length) this.#memory[at] = random.integer(0, 255)
        break
      case 1:
        if (at < this.#length)
          this.#memory[at] = (this.#memory[at] ?? 0) ^ (1 << random.integer(0, 7))
        break
      case 2:
        if (at + 4 <= this.#length) this.#memory.writeInt32BE(pick(random, INT_EDGES), at)
        break
      case 3:
        this.#length = at
        break
      case 4:
        this.#remove(at, random.integer(1, 8))
        break
      case 5:
        this.#insert(
          at,
          other.subarray(random.integer(0, other.length)).subarray(0, random.integer(1, 40)),
        )
        break
      case 6: {
        const from = random.integer(0, this.#length)
        this.#insert(at, Buffer.from(this.#memory.subarray(from, from + random.integer(1, 40))))
        break
      }
      default:
        if (this.#tokens.length > 0) {
          this.#remove(at, random.integer(0, 3))
          this.#insert(at, pick(random, this.#tokens))
        }
    }
  }

  #remove(at: number, count: number): void {
    const end = Math.min(at + count, this.#length)
    this.#memory.copyWithin(at, end, this.#length)
    this.#length -= end - at
  }

  #insert(at: number, bytes: Buffer): void {
    if (this.#length + bytes.length > ROOM_BYTES) return
    this.#memory.copyWithin(at + bytes.length, at, this.#length)
    bytes.copy(this.#memory, at)
    this.#length += bytes.length
  }
}
