/** Compares replayed responses with the recorded ones, and counts what it finds. */
import { compareResponses } from '../../../comparison/compare.ts'
import type { ComparedResponse, Comparison } from '../../../comparison/compare.ts'
import type { RecordedRequest } from '../../../recording/recording.ts'
import type { SentResponse } from '../recorded/sender.ts'

/** Differences that are reported in detail. */
const MAX_DIFFERENCES = 10
/** Status of a recorded request whose client left before the response. */
const CLIENT_LEFT = 499

/** Two responses to one request that do not agree. */
export interface Difference {
  readonly requestId: string
  /** When the request was recorded. */
  readonly time: string
  /** From 0 (equal) to 1. */
  readonly difference: number
  readonly reason: string
  readonly outputs: Comparison['outputs']
}

/** The result of all comparisons. */
export interface ComparisonCounts {
  readonly agreed: number
  readonly differed: number
  /** Number of requests by change, such as `200 → 503`. */
  readonly statusChanges: Readonly<Record<string, number>>
  /** Requests without a response, by the code of the failure. */
  readonly failed: Readonly<Record<string, number>>
  /** Requests whose responses were not compared, by reason. */
  readonly notCompared: Readonly<Record<string, number>>
  /** The largest differences. */
  readonly differences: readonly Difference[]
}

/** Collects the result. */
export class ReplayFindings {
  readonly #tolerance: number | undefined
  #agreed = 0
  #differed = 0
  readonly #statusChanges = new Map<string, number>()
  readonly #failed = new Map<string, number>()
  readonly #notCompared = new Map<string, number>()
  #differences: Difference[] = []

  constructor(tolerance: number | undefined) {
    this.#tolerance = tolerance
  }

  get counts(): ComparisonCounts {
    return {
      agreed: this.#agreed,
      differed: this.#differed,
      statusChanges: Object.fromEntries(this.#statusChanges),
      failed: Object.fromEntries(this.#failed),
      notCompared: Object.fromEntries(this.#notCompared),
      differences: this.#differences,
    }
  }

  /** The request got no response. */
  fail(error: unknown): void {
    const hasCode = error instanceof Error && 'code' in error
    countIn(this.#failed, hasCode ? String(error.code) : 'no response')
  }

  /** The request was not sent, or has nothing to compare. */
  skip(reason: string): void {
    countIn(this.#notCompared, reason)
  }

  compare(recorded: RecordedRequest, replayed: SentResponse): void {
    const { status, response, responseBody } = recorded
    if (status === CLIENT_LEFT) {
      this.skip('the recorded client left before the response')
    } else if (status !== replayed.status) {
      countIn(this.#statusChanges, `${status} → ${replayed.status}`)
    } else if (status >= 300) {
      this.#agreed += 1
    } else if (response === undefined || responseBody === undefined) {
      this.skip('the response was streamed, or too large to be recorded')
    } else {
      const reference = {
        status,
        contentType: response.contentType,
        headers: response.headers,
        body: responseBody,
      }
      this.#compareBodies(recorded, reference, replayed)
    }
  }

  #compareBodies(
    { id, time }: RecordedRequest,
    reference: ComparedResponse,
    replayed: SentResponse,
  ): void {
    const limit = this.#tolerance
    const tolerance = limit === undefined ? {} : { absolute: limit, relative: limit }
    const {
      agrees,
      reason = 'it differs',
      outputs,
    } = compareResponses(reference, replayed, {
      tolerance,
    })
    if (agrees) {
      this.#agreed += 1
      return
    }
    this.#differed += 1
    const unlike = outputs.filter((output) => !output.agrees)
    this.#differences.push({
      requestId: id,
      time: new Date(time).toISOString(),
      difference: unlike.length === 0 ? 1 : Math.max(...unlike.map((one) => one.difference)),
      reason,
      outputs: unlike,
    })
    this.#differences = this.#differences
      .toSorted((a, b) => b.difference - a.difference)
      .slice(0, MAX_DIFFERENCES)
  }
}

function countIn(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
