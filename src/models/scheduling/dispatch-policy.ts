/**
 * Which worker gets the next batch, and when. This is the only place that decides it: a pure function
 * over plain facts. docs/architecture.md, "Scheduling", gives the reasons.
 */

/** About this much work is kept ahead of a worker. With less it idles, with more others wait longer. */
const WORK_AHEAD_MS = 1
/** A worker whose runs take longer gets one batch at a time. */
const LONG_RUN_MS = 25
/** To wake a second worker costs more than is gained by it where runs are shorter. */
const QUICK_RUN_MS = 0.1
/** Keeps the number of batches ahead finite for runs that take no time. */
const LEAST_RUN_MS = 0.01

/** What is known about the batches of a worker. */
export interface ProgressFacts {
  /** Batches sent and not yet answered. */
  readonly inFlight: number
  /** Batches that may be in flight at most. */
  readonly maxInFlight: number
  /** Moving mean of the run times, milliseconds; `undefined` before the first response. */
  readonly meanRunMs: number | undefined
  /** Large bodies reach the worker beside its socket, so they can be there before their turn. */
  readonly hasBodyFile: boolean
  /** How often of late the worker had nothing to do while work waited. */
  readonly idleWhileWaited: number
}

/** What is known about a worker. */
export interface WorkerFacts {
  /** Whether it can take work. */
  readonly isReady: boolean
  readonly progress: ProgressFacts
}

/** What is known about the batch that would go next. */
export interface BatchFacts {
  /** Whether no request can join it any more. */
  readonly isComplete: boolean
  /** Until when it waits for others, on the clock of `performance.now()`. */
  readonly waitsUntil: number
  /** Whether it waits although a second worker has nothing to do. */
  readonly waitsBesideIdleWorker: boolean
  /** When it goes at the latest: halfway to the first deadline of its requests. */
  readonly latestAt: number
}

/** A place for a worker. */
interface Place {
  readonly worker: WorkerFacts
}

/** The place that gets the batch now, or when to decide again; `Infinity` where all have enough. */
export type Decision<P extends Place> =
  | { readonly place: P }
  | { readonly place: undefined; readonly decideAt: number }

const ALL_HAVE_ENOUGH = { place: undefined, decideAt: Number.POSITIVE_INFINITY } as const

/**
 * Decides about the next batch at the time `now`. An idle worker comes before a busy one, except where
 * runs are so quick that filling one worker costs less than waking the next.
 */
export function decide<P extends Place>(
  places: readonly P[],
  batch: BatchFacts,
  now: number,
): Decision<P> {
  const place = placeFor(places, batch.isComplete)
  if (place === undefined) return ALL_HAVE_ENOUGH
  if (batch.isComplete) return { place }
  // Who comes later can have a worker of its own.
  const hasSecond = !batch.waitsBesideIdleWorker && hasIdleBeside(places, place)
  const decideAt = hasSecond ? now : Math.min(batch.waitsUntil, batch.latestAt)
  return decideAt > now ? { place: undefined, decideAt } : { place }
}

function placeFor<P extends Place>(places: readonly P[], isComplete: boolean): P | undefined {
  let best: P | undefined
  for (const place of places) {
    const { isReady, progress } = place.worker
    if (!isReady || progress.inFlight >= depthOf(progress, isComplete)) continue
    const ahead = progress.inFlight - (best?.worker.progress.inFlight ?? 0)
    if (best === undefined || (isQuick(progress) ? ahead > 0 : ahead < 0)) best = place
  }
  return best
}

function hasIdleBeside(places: readonly Place[], place: Place): boolean {
  return places.some(
    ({ worker }, index) =>
      places[index] !== place && worker.isReady && worker.progress.inFlight === 0,
  )
}

/** Batches that should be in flight at once. Fewer where others could still join the last of them. */
function depthOf(progress: ProgressFacts, isComplete: boolean): number {
  const { meanRunMs, maxInFlight, hasBodyFile, idleWhileWaited } = progress
  if (meanRunMs === undefined) return 1
  const aheadByTime = Math.floor(WORK_AHEAD_MS / Math.max(meanRunMs, LEAST_RUN_MS))
  // One more where its way to the worker would be felt beside its run.
  const isOneMore = isComplete && hasBodyFile && meanRunMs < LONG_RUN_MS
  const ahead = isOneMore ? Math.max(aheadByTime, 1 + Math.floor(idleWhileWaited)) : aheadByTime
  return Math.min(maxInFlight, 1 + ahead)
}

function isQuick({ meanRunMs }: ProgressFacts): boolean {
  return meanRunMs !== undefined && meanRunMs < QUICK_RUN_MS
}
