/** Finds the streams in the result of a custom handler. */
import { types } from 'node:util'

/** A value that comes in chunks. */
export type Stream = AsyncIterable<unknown> | Iterable<unknown>

/**
 * Returns one element for each request if the result has a stream: an async iterable (an async
 * generator, a `ReadableStream`, a `Readable` of Node) or a generator. For a batch of one request,
 * the result itself may be the stream. Returns `undefined` for any other result.
 */
export function withStreams(output: unknown, batchSize: number): readonly unknown[] | undefined {
  if (batchSize === 1 && isStream(output)) return [output]
  if (!Array.isArray(output) || output.length !== batchSize) return undefined
  return output.some(isStream) ? output : undefined
}

export function isStream(value: unknown): value is Stream {
  if (typeof value !== 'object' || value === null) return false
  return Symbol.asyncIterator in value || types.isGeneratorObject(value)
}

/** @throws any error of the handler's code. */
export function iteratorOf(stream: Stream): AsyncIterator<unknown> | Iterator<unknown> {
  return Symbol.asyncIterator in stream ? stream[Symbol.asyncIterator]() : stream[Symbol.iterator]()
}
