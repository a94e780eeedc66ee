/**
 * How long the parts of a batch took. Only the worker can measure that. It appends the times to the
 * message of its reply, as MMS workers append their process id to the reply to a load. Nothing else
 * reads the message of a successful reply.
 */

/** All in milliseconds. */
export interface ComputeTimes {
  /** From the request to its tensors. */
  readonly input: number
  /** The run of the model. */
  readonly infer: number
  /** From the output tensors to the response. */
  readonly output: number
}

const NS_PER_MS = 1e6
const MESSAGE = /^Prediction success\. \[NS\]:(\d{1,15}),(\d{1,15}),(\d{1,15})$/

/** Returns the message of a successful reply. */
export function messageWithTimes({ input, infer, output }: ComputeTimes): string {
  return `Prediction success. [NS]:${inNs(input)},${inNs(infer)},${inNs(output)}`
}

/**
 * Reads the times from the message of a reply to a batch that took `ms` milliseconds; `undefined`
 * if it has none, or if their sum is longer than that.
 */
export function timesInMessage(message: string, ms: number): ComputeTimes | undefined {
  const [, input, infer, output] = MESSAGE.exec(message) ?? []
  if (input === undefined) return undefined
  const times = { input: inMs(input), infer: inMs(infer), output: inMs(output) }
  return times.input + times.infer + times.output <= ms ? times : undefined
}

/** Rounds down, so that the sum of the parts never exceeds the whole. */
function inNs(milliseconds: number): number {
  return Math.floor(milliseconds * NS_PER_MS)
}

function inMs(nanoseconds: string | undefined): number {
  return Number(nanoseconds) / NS_PER_MS
}
