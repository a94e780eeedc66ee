/** Sends the requests of a recording, and measures each. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Recording, RecordedRequest } from '../../../recording/recording.ts'
import { rewrite } from '../recorded/rewrite.ts'
import type { Target } from '../recorded/rewrite.ts'
import type { SelectedRequest } from '../recorded/selection.ts'
import type { Sender, SentResponse } from '../recorded/sender.ts'
import type { ReplayFindings } from './findings.ts'
import type { ReplayPlan } from './plan.ts'

/** Responses are compared after the measurement, unless they need more memory. */
const MAX_HELD_BYTES = 128 * 1024 * 1024

/** What the replay sends, and to whom. */
export interface ReplayWork {
  readonly recording: Recording
  readonly requests: readonly SelectedRequest[]
  readonly target: Target
  readonly sender: Sender
  readonly findings: ReplayFindings
  readonly plan: Pick<ReplayPlan, 'rate' | 'connections'>
  readonly signal: AbortSignal
  /** Called after each request. */
  readonly onProgress: (sent: number) => void
}

/** The measurement. */
export interface ReplayTimes {
  readonly sent: number
  readonly elapsedMs: number
  /** Latency of each successful response in milliseconds. */
  readonly latencies: readonly number[]
}

/** @throws the reason of the signal. */
export async function sendAll(work: ReplayWork): Promise<ReplayTimes> {
  const { requests, plan, signal } = work
  const replay = new Replay(work)
  const startedAt = performance.now()
  const queue = requests.values()
  if (plan.rate.kind === 'max') {
    const runConnection = async (): Promise<void> => {
      for (const request of queue) {
        signal.throwIfAborted()
        await replay.send(request)
      }
    }
    await Promise.all(Array.from({ length: plan.connections }, runConnection))
  } else {
    const open = new Set<Promise<void>>()
    const dueOf = dueTimes(requests, plan.rate)
    for (const [index, request] of [...queue].entries()) {
      const due = startedAt + dueOf(request, index)
      const wait = due - performance.now()
      if (wait > 0) await delay(wait, undefined, { signal })
      signal.throwIfAborted()
      const sending = replay.send(request, due)
      open.add(sending)
      const remove = (): unknown => open.delete(sending)
      sending.then(remove, remove)
    }
    await Promise.all(open)
  }
  signal.throwIfAborted()
  const elapsedMs = performance.now() - startedAt
  await replay.compareHeld()
  const { sent, latencies } = replay
  return { sent, elapsedMs, latencies }
}

/** Milliseconds from the start of the replay at which a request is due. */
function dueTimes(
  requests: readonly SelectedRequest[],
  rate: ReplayPlan['rate'],
): (request: SelectedRequest, index: number) => number {
  if (rate.kind === 'rate') return (_request, index) => (index * 1000) / rate.perSecond
  const first = requests[0]?.time ?? 0
  return ({ time }) => Math.max(0, time - first)
}

class Replay {
  readonly #work: ReplayWork
  readonly latencies: number[] = []
  sent = 0
  #held: { readonly request: SelectedRequest; readonly response: SentResponse }[] = []
  #heldBytes = 0

  constructor(work: ReplayWork) {
    this.#work = work
  }

  /** @param due In an open loop, the latency counts from here. */
  async send(request: SelectedRequest, due?: number): Promise<void> {
    const { findings, sender, target, onProgress } = this.#work
    const recorded = await this.#read(request)
    if (recorded === undefined) return
    const sendable = rewrite(recorded, target)
    if (typeof sendable === 'string') {
      findings.skip(sendable)
      return
    }
    const startedAt = due ?? performance.now()
    let response: SentResponse
    try {
      response = await sender.send(sendable)
    } catch (error) {
      findings.fail(error)
      return
    } finally {
      this.sent += 1
      onProgress(this.sent)
    }
    if (response.status < 300) this.latencies.push(performance.now() - startedAt)
    this.#held.push({ request, response })
    this.#heldBytes += response.body.length
    if (this.#heldBytes > MAX_HELD_BYTES) await this.compareHeld()
  }

  /** Compares the responses so far. */
  async compareHeld(): Promise<void> {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const { request, response } of held) {
      this.#work.signal.throwIfAborted()
      const recorded = await this.#read(request)
      if (recorded !== undefined) this.#work.findings.compare(recorded, response)
    }
  }

  async #read({ place }: SelectedRequest): Promise<RecordedRequest | undefined> {
    const { recording, findings } = this.#work
    const recorded = await recording.read(place).catch(() => undefined)
    if (recorded === undefined) findings.skip('the record is gone: a server has overwritten it')
    return recorded
  }
}
