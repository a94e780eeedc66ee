/** How the time of a reader grows with its input. */
import assert from 'node:assert/strict'
import process from 'node:process'

/** Reads an input; what it throws is of no interest. */
export type Read = (input: string) => unknown

/** Makes an input of about `size` characters. */
export type MakeInput = (size: number) => string

const LARGE = 64 * 1024
const FACTOR = 8
/** A large input that is read in less time needs no comparison: at quadratic time it would take seconds. */
const QUICK_MS = 40
/** Linear time grows by the factor, quadratic time by its square, 64. */
const MOST_GROWTH = 28
const RUNS = 3
/** What takes so long is not measured again. */
const LONG_MS = 1000

/** Fails if eight times the input takes much more than eight times the time. */
export async function assertLinear(name: string, input: MakeInput, read: Read): Promise<void> {
  const large = input(LARGE)
  let largeMs = await timeOf(read, large)
  if (largeMs < QUICK_MS) return
  const small = input(LARGE / FACTOR)
  let smallMs = Number.POSITIVE_INFINITY
  // The least of several times is the one that the collector of garbage disturbed least.
  for (let run = 0; run < RUNS; run += 1) {
    smallMs = Math.min(smallMs, await timeOf(read, small))
    if (largeMs > LONG_MS) break
    largeMs = Math.min(largeMs, await timeOf(read, large))
  }
  const text = `${small.length} characters take ${smallMs.toFixed(2)} ms, ${FACTOR} times as many ${largeMs.toFixed(2)} ms`
  assert.ok(largeMs < QUICK_MS || largeMs < smallMs * MOST_GROWTH, `${name}: ${text}`)
}

/** Milliseconds of this process alone: others share the machine. */
async function timeOf(read: Read, input: string): Promise<number> {
  const before = process.cpuUsage()
  try {
    await read(input)
  } catch {
    // A refusal takes its time as well.
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
