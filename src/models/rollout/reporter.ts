/** Reports what a further HTTP process sees of the versions that rollouts judge. */
import { WARM_UP } from './step-watch.ts'
import type { Completed } from './step-watch.ts'
import { VersionFeed } from './version-feed.ts'
import type { WatchedVersion } from './version-feed.ts'

/** Process 0 looks at the evidence as often. */
const REPORT_MS = 250
/** A report is sent earlier when it has this many times. */
const MAX_TIMES = 1000

/** A version in the present step of a rollout. */
export interface JudgedVersion {
  readonly name: string
  readonly version: string
  /** Number of its registration in process 0. */
  readonly id: number
  /** The step, from 0. */
  readonly step: number
}

/** What a process has seen of a version since its last report. */
export interface VersionReport extends Completed {
  readonly name: string
  /** Number of the registration of the version in process 0. */
  readonly id: number
  /** Response times in milliseconds, of requests that succeeded. */
  readonly times: readonly number[]
}

/** Collects counts and times of versions, and sends them four times a second. */
export class RolloutReporter {
  readonly #send: (reports: readonly VersionReport[]) => void
  #watched: readonly ReportedVersion[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(send: (reports: readonly VersionReport[]) => void) {
    this.#send = send
  }

  /**
   * Watches these versions from now on, and no others.
   * @param find Returns a version that this process serves.
   */
  watch(
    judged: readonly JudgedVersion[],
    find: (name: string, version: string) => WatchedVersion | undefined,
  ): void {
    this.#report()
    const before = this.#watched
    const kept = new Set<ReportedVersion>()
    const added: (readonly [JudgedVersion, WatchedVersion])[] = []
    for (const one of judged) {
      const model = find(one.name, one.version)
      if (model === undefined) continue
      const known = before.find((other) => other.isSame(one, model))
      if (known === undefined) added.push([one, model])
      else kept.add(known)
    }
    // The old feed of a version ends before its new one begins.
    for (const old of before) if (!kept.has(old)) old.close()
    const isFull = (): void => this.#report()
    this.#watched = [
      ...kept,
      ...added.map(([one, model]) => new ReportedVersion(one, model, isFull)),
    ]
    if (this.#watched.length > 0)
      this.#timer ??= setInterval(() => this.#report(), REPORT_MS).unref()
    else this.close()
  }

  close(): void {
    for (const one of this.#watched) one.close()
    this.#watched = []
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #report(): void {
    const reports = this.#watched.map((one) => one.take())
    const some = reports.filter(({ requests, times }) => requests > 0 || times.length > 0)
    if (some.length > 0) this.#send(some)
  }
}

/** One version, and what is not reported yet. */
class ReportedVersion {
  readonly #judged: JudgedVersion
  readonly #feed: VersionFeed
  #times: number[] = []
  #skipped = 0

  constructor(judged: JudgedVersion, model: WatchedVersion, onFull: () => void) {
    this.#judged = judged
    this.#feed = new VersionFeed(model, (ms) => {
      // Process 0 skips the first requests of its own workers only.
      if (this.#skipped < WARM_UP) this.#skipped += 1
      else if (this.#times.push(ms) >= MAX_TIMES) onFull()
    })
  }

  isSame({ id, step }: JudgedVersion, model: WatchedVersion): boolean {
    return this.#judged.id === id && this.#judged.step === step && this.#feed.model === model
  }

  take(): VersionReport {
    const { name, id } = this.#judged
    const times = this.#times
    this.#times = []
    return { name, id, ...this.#feed.read(), times }
  }

  close(): void {
    this.#feed.close()
  }
}
