/** Sends requests in a closed or an open loop, and measures each. */
import { setTimeout as delay } from 'node:timers/promises'

/** How requests are sent. */
export type LoadPlan =
  | { readonly kind: 'closed'; readonly clients: number; readonly ms: number }
  | { readonly kind: 'open'; readonly rate: number; readonly ms: number }

/** Sends one request and resolves with its status. */
export type SendRequest = () => Promise<number>

/** Everything that was measured. */
export interface LoadResults {
  /** Latency of each response in milliseconds. */
  readonly latencies: number[]
  /** Number of responses by status; failed connections by their code. */
  readonly outcomes: Map<string, number>
  readonly elapsedMs: number
}

/** In an open loop, at most this many requests wait for a response. Further ones are not sent. */
const MAX_OPEN = 10_000

/** Runs the load until its time is over, then waits for the last responses. */
export async function runLoad(
  plan: LoadPlan,
  send: SendRequest,
  signal: AbortSignal,
): Promise<LoadResults> {
  const results: LoadResults & { elapsedMs: number } = {
    latencies: [],
    outcomes: new Map(),
    elapsedMs: 0,
  }
  const startedAt = performance.now()
  const end = startedAt + plan.ms
  const measure = async (since: number): Promise<void> => {
    let outcome: string
    try {
      outcome = String(await send())
    } catch (error) {
      const hasCode = error instanceof Error && 'code' in error
      outcome = hasCode ? String(error.code) : 'failed'
    }
    if (outcome.startsWith('2')) results.latencies.push(performance.now() - since)
    results.outcomes.set(outcome, (results.outcomes.get(outcome) ?? 0) + 1)
  }
  if (plan.kind === 'closed') {
    const runClient = async (): Promise<void> => {
      while (performance.now() < end && !signal.aborted) await measure(performance.now())
    }
    await Promise.all(Array.from({ length: plan.clients }, runClient))
  } else {
    await runOpen(plan.rate, { startedAt, end }, measure, signal, results)
  }
  signal.throwIfAborted()
  results.elapsedMs = performance.now() - startedAt
  return results
}

/** Each request is due at its time, and its latency counts from then. */
async function runOpen(
  rate: number,
  { startedAt, end }: { startedAt: number; end: number },
  measure: (since: number) => Promise<void>,
  signal: AbortSignal,
  { outcomes }: LoadResults,
): Promise<void> {
  const open = new Set<Promise<void>>()
  const interval = 1000 / rate
  for (let index = 0; !signal.aborted; index += 1) {
    const due = startedAt + index * interval
    if (due >= end) break
    const wait = due - performance.now()
    if (wait > 0) await delay(wait)
    if (open.size >= MAX_OPEN) {
      outcomes.set('not sent', (outcomes.get('not sent') ?? 0) + 1)
      continue
    }
    const request = measure(due)
    open.add(request)
    void request.finally(() => open.delete(request))
  }
  await Promise.all(open)
}
