/** Measures how the time of a reader grows with its input. */
import assert from 'node:assert/strict'
import process from 'node:process'

/** Reads an input. Its errors are ignored. */
export type Read = (input: string) => unknown

/** Makes an input of about `size` characters. */
export type MakeInput = (size: number) => string

const LARGE = 32 * 1024
const FACTOR = 8
/**
 * If the large input takes less time, the small one is not measured: quadratic time would be
 * seconds. It is several ticks of the clock, which counts the time of a process in ticks of up to
 * 10 ms.
 */
const QUICK_MS = 40
/**
 * Maximum ratio of the times of the large input and of `FACTOR` small ones. Linear time gives 1,
 * quadratic time `FACTOR`.
 */
const MOST_GROWTH = 3.5
const RUNS = 3
/** A large input that takes longer is not measured again. */
const LONG_MS = 1000

/** Fails if eight times the input takes much more than eight times the time. */
export async function assertLinear(name: string, input: MakeInput, read: Read): Promise<void> {
  const large = [input(LARGE)]
  let largeMs = await timeOf(read, large)
  if (largeMs < QUICK_MS) return
  // As much input as the large one, so that both take many ticks of the clock.
  const small = Array.from({ length: FACTOR }, () => input(LARGE / FACTOR))
  let smallMs = Number.POSITIVE_INFINITY
  // The minimum of several runs contains the least time of the garbage collector.
  for (let run = 0; run < RUNS; run += 1) {
    smallMs = Math.min(smallMs, await timeOf(read, small))
    if (largeMs > LONG_MS) break
    largeMs = Math.min(largeMs, await timeOf(read, large))
  }
  const text = `${FACTOR} small inputs take ${smallMs.toFixed(2)} ms, one as long as all of them ${largeMs.toFixed(2)} ms`
  assert.ok(largeMs < QUICK_MS || largeMs < smallMs * MOST_GROWTH, `${name}: ${text}`)
}

/** CPU milliseconds of this process only, because other processes share the machine. */
async function timeOf(read: Read, inputs: readonly string[]): Promise<number> {
  const before = process.cpuUsage()
  for (const input of inputs) {
    try {
      await read(input)
    } catch {
      // A rejection takes time too.
    }
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
