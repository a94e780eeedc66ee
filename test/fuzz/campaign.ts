/**
 * Fuzzing by mutation. fast-check chooses the seeds and repeats a seed that failed. The mutants of
 * a seed are made here, thousands per second.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import * as fc from 'fast-check'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'

/** Mutants of one seed. */
const BATCH = 500
const MAX_SHOWN_BYTES = 6000
const SEED = testSeed()

/** How large an attack is, and how long it may take. */
export interface Campaign {
  /** Nasty inputs and inputs that once broke something: they come first, as they are. */
  readonly corpus: readonly Buffer[]
  readonly count: number
  readonly budgetMs: number
  /** Another mutant. */
  readonly mutant: (random: RandomNumbers) => Buffer
  /** Fails when something is wrong with how an input is taken. */
  readonly check: (bytes: Buffer) => Promise<void> | void
}

/** What came of it. */
export interface Attacked {
  /** Inputs that were tried. */
  readonly inputs: number
  readonly seed: number
  /** The largest memory of this process meanwhile beyond that at the start, MiB. */
  readonly grownByMib: number
}

/** Runs an attack. A failure shows the input in base64, to be kept in the corpus. */
export async function attack({
  corpus,
  count,
  budgetMs,
  mutant,
  check,
}: Campaign): Promise<Attacked> {
  const endsAt = performance.now() + budgetMs
  const startBytes = process.memoryUsage.rss()
  let peakBytes = startBytes
  let inputs = 0
  const tryOne = async (bytes: Buffer): Promise<void> => {
    inputs += 1
    try {
      await check(bytes)
    } catch (error) {
      const shown = bytes.toString('base64').slice(0, MAX_SHOWN_BYTES)
      throw new Error(`${String(error)}\nInput, ${bytes.length} bytes:\n${shown}`, { cause: error })
    }
  }
  for (const bytes of corpus) await tryOne(bytes)
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const random = randomNumbers(seed)
      for (let index = 0; index < BATCH && inputs < count; index += 1) {
        if (performance.now() > endsAt) return
        await tryOne(mutant(random))
      }
      peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
    }),
    { seed: SEED, numRuns: Math.ceil(count / BATCH), endOnFailure: true },
  )
  return { inputs, seed: SEED, grownByMib: Math.round((peakBytes - startBytes) / 2 ** 20) }
}

/**
 * CPU time of this process in milliseconds. What is too slow is measured by it, because a busy
 * machine may stop the process at any place.
 */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** The files of a corpus in `test/fuzz/corpus`. */
export function corpusOf(name: string): Buffer[] {
  const folder = path.resolve('test/fuzz/corpus', name)
  if (!existsSync(folder)) throw new Error(`there is no corpus ${name}`)
  return readdirSync(folder)
    .toSorted()
    .map((file) => readFileSync(path.join(folder, file)))
}

/** One of a list. */
export function oneOf<T>(all: readonly T[], random: RandomNumbers): T {
  const found = all[random.integer(0, all.length - 1)]
  if (found === undefined) throw new Error('an empty list')
  return found
}
