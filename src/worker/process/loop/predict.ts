/** Runs one batch, for both the event loop and the blocking loop. */
import { ProtocolError } from '../../../errors.ts'
import type { WireRequest, WorkerRequest } from '../../wire/messages.ts'
import type { LoadedModel, ModelReply } from '../handler.ts'
import { reportError } from '../report-error.ts'
import { predictFailedReply } from './replies.ts'

/**
 * After a run shorter than this (milliseconds), the reply waits for the next one if a request for
 * it has arrived. At most `MAX_GATHERED` replies are sent together. A write, and waking the peer,
 * cost more than such a run.
 */
const QUICK_RUN_MS = 0.2
const MAX_GATHERED = 4

/**
 * Runs a batch and returns the reply. An error of the model becomes MMS's error reply.
 * @returns A promise only if the model returns one: it costs as much as a small run.
 * @throws ProtocolError when no model is loaded.
 */
export function predict(
  model: LoadedModel | undefined,
  requests: readonly WireRequest[],
  startedAt: number,
): Promise<ModelReply> | ModelReply {
  if (model === undefined)
    throw new ProtocolError('the worker received a predict request before a load request')
  const failed = (error: unknown): ModelReply => {
    reportError('Prediction failed', error)
    return predictFailedReply(error, requests)
  }
  try {
    const reply = model.predict(requests, startedAt)
    return reply instanceof Promise ? reply.catch(failed) : reply
  } catch (error) {
    return failed(error)
  }
}

/** Whether to hold a reply and send it together with the next one. */
export function mayWait(
  runMs: number,
  held: number,
  requests: readonly WireRequest[],
  next: WorkerRequest | undefined,
): boolean {
  if (runMs >= QUICK_RUN_MS || held >= MAX_GATHERED - 1 || next?.command !== 'predict') return false
  // The next batch must not be larger, so its run is probably as short. A body in the body file
  // counts as 0 bytes here.
  const bytes = bytesOf(next.requests)
  return bytes > 0 && bytes <= bytesOf(requests)
}

function bytesOf(requests: readonly WireRequest[]): number {
  let bytes = 0
  for (const { parameters } of requests) for (const { value } of parameters) bytes += value.length
  return bytes
}
