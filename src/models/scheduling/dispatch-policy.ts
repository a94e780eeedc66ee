/**
 * Decides which worker gets the next batch, and when. Only this pure function decides it. Section
 * "Scheduling" of docs/architecture.md gives the reasons.
 */

/**
 * Amount of work that is sent ahead to a worker. With less the worker idles; with more, other
 * requests wait longer.
 */
const WORK_AHEAD_MS = 1
/** A worker with longer runs gets one batch at a time. */
const LONG_RUN_MS = 25
/** If runs are shorter, waking a second worker costs more time than it saves. */
const QUICK_RUN_MS = 0.1
/** Limits the number of batches ahead for runs that take almost no time. */
const LEAST_RUN_MS = 0.01

/** Facts about the batches of a worker. */
export interface ProgressFacts {
  /** Batches sent and not yet returned. */
  readonly inFlight: number
  /** Maximum of batches in flight. */
  readonly maxInFlight: number
  /** Moving mean of the run times in milliseconds; `undefined` before the first response. */
  readonly meanRunMs: number | undefined
  /**
   * Whether large bodies reach the worker outside its socket. Then they can be there before their
   * run.
   */
  readonly hasBodyFile: boolean
  /** How often, recently, the worker idled while work waited. */
  readonly idleWhileWaited: number
}

/** Facts about a worker. */
export interface WorkerFacts {
  /** Whether it can take work. */
  readonly isReady: boolean
  readonly progress: ProgressFacts
}

/** Facts about the next batch. */
export interface BatchFacts {
  /** Whether no further request can join it. */
  readonly isComplete: boolean
  /** Until when it waits for more requests, on the clock of `performance.now()`. */
  readonly waitsUntil: number
  /** Whether it waits even if a second worker is idle. */
  readonly waitsBesideIdleWorker: boolean
  /** When it is sent at the latest: halfway to the first deadline of its requests. */
  readonly latestAt: number
}

/** A place for a worker. */
interface Place {
  readonly worker: WorkerFacts
}

/**
 * The place that gets the batch now, or the time to decide again; `Infinity` if all workers have
 * enough work.
 */
export type Decision<P extends Place> =
  | { readonly place: P }
  | { readonly place: undefined; readonly decideAt: number }

const ALL_HAVE_ENOUGH = { place: undefined, decideAt: Number.POSITIVE_INFINITY } as const

/**
 * Decides about the next batch at the time `now`. An idle worker is preferred to a busy one, unless
 * runs are so short that filling one worker costs less than waking the next.
 */
export function decide<P extends Place>(
  places: readonly P[],
  batch: BatchFacts,
  now: number,
): Decision<P> {
  const place = placeFor(places, batch.isComplete)
  if (place === undefined) return ALL_HAVE_ENOUGH
  if (batch.isComplete) return { place }
  // Later requests can use the second worker.
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

/**
 * Returns the number of batches that should be in flight. It is smaller while others can still join
 * the last one.
 */
function depthOf(progress: ProgressFacts, isComplete: boolean): number {
  const { meanRunMs, maxInFlight, hasBodyFile, idleWhileWaited } = progress
  if (meanRunMs === undefined) return 1
  const aheadByTime = Math.floor(WORK_AHEAD_MS / Math.max(meanRunMs, LEAST_RUN_MS))
  // Sends one batch ahead if its transfer takes noticeable time compared with its run, and more if
  // the worker idled recently.
  const isOneMore = isComplete && hasBodyFile && meanRunMs < LONG_RUN_MS
  const ahead = isOneMore ? Math.max(aheadByTime, 1 + Math.floor(idleWhileWaited)) : aheadByTime
  return Math.min(maxInFlight, 1 + ahead)
}

function isQuick({ meanRunMs }: ProgressFacts): boolean {
  return meanRunMs !== undefined && meanRunMs < QUICK_RUN_MS
}
