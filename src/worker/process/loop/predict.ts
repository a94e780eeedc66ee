/** One batch through a model, whatever the way it came. */
import { ProtocolError } from '../../../errors.ts'
import type { WireRequest, WorkerReply, WorkerRequest } from '../../wire/messages.ts'
import type { LoadedModel } from '../handler.ts'
import { reportError } from '../report-error.ts'
import { predictFailedReply } from './replies.ts'

/**
 * After a run that took less than this the reply waits for the next one, if a request for it is there, and so many
 * leave together at most: a write, and the peer that it wakes, cost more than the run.
 */
const QUICK_RUN_MS = 0.2
const MAX_GATHERED = 4

/**
 * The reply to a batch; what the model throws becomes the original's error reply.
 * @throws ProtocolError when no model is loaded.
 */
export async function predict(
  model: LoadedModel | undefined,
  requests: readonly WireRequest[],
  startedAt: number,
): Promise<WorkerReply> {
  if (model === undefined) throw new ProtocolError('A predict request before any load request')
  try {
    return await model.predict(requests, startedAt)
  } catch (error) {
    reportError('Prediction failed', error)
    return predictFailedReply(error, requests)
  }
}

/** Whether a reply should wait for the next one, which then leaves with it. */
export function mayWait(
  runMs: number,
  held: number,
  requests: readonly WireRequest[],
  next: WorkerRequest | undefined,
): boolean {
  if (runMs >= QUICK_RUN_MS || held >= MAX_GATHERED - 1 || next?.command !== 'predict') return false
  // No larger, so that its run may be expected to be as quick. A body that travels beside the socket counts nothing.
  const bytes = bytesOf(next.requests)
  return bytes > 0 && bytes <= bytesOf(requests)
}

function bytesOf(requests: readonly WireRequest[]): number {
  let bytes = 0
  for (const { parameters } of requests) for (const { value } of parameters) bytes += value.length
  return bytes
}
