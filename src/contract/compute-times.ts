/**
 * How long the parts of a batch took, which only the worker knows. It says so at the end of the message of its reply,
 * as the original says its process id at the end of that to a load; nobody reads the message of a success.
 */

/** Milliseconds. */
export interface ComputeTimes {
  /** From the request to its tensors. */
  readonly input: number
  /** The run. */
  readonly infer: number
  /** From the tensors to the answer. */
  readonly output: number
}

const NS_PER_MS = 1e6
const MESSAGE = /^Prediction success\. \[NS\]:(\d{1,15}),(\d{1,15}),(\d{1,15})$/

/** The message of a success. */
export function messageWithTimes({ input, infer, output }: ComputeTimes): string {
  return `Prediction success. [NS]:${inNs(input)},${inNs(infer)},${inNs(output)}`
}

/** The times in the message of a reply; `undefined` from workers that say none. */
export function timesInMessage(message: string): ComputeTimes | undefined {
  const [, input, infer, output] = MESSAGE.exec(message) ?? []
  if (input === undefined) return undefined
  return { input: inMs(input), infer: inMs(infer), output: inMs(output) }
}

/** Rounded down: the parts are never more than the whole. */
function inNs(milliseconds: number): number {
  return Math.floor(milliseconds * NS_PER_MS)
}

function inMs(nanoseconds: string | undefined): number {
  return Number(nanoseconds) / NS_PER_MS
}
