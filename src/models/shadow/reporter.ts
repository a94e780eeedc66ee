/** Reports what copies in a further HTTP process have shown. */
import type { SkipReason } from './report.ts'
import type { CopyEnd, ShadowEvent } from './shadow-counts.ts'
import type { Shadow } from './shadow-settings.ts'

const REPORT_MS = 250
/** A report is sent earlier when it has this many copies. */
const MAX_COPIES = 1000

/** What the copies of a model have shown since the last report of a process. */
export interface CopyReport {
  readonly name: string
  /** The settings at the time of the copies. */
  readonly shadow: Shadow
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>
  readonly ended: readonly CopyEnd[]
}

interface Waiting {
  readonly name: string
  readonly shadow: Shadow
  readonly skipped: Partial<Record<SkipReason, number>>
  readonly ended: CopyEnd[]
}

/** Collects events of copies, and sends them at most four times a second. */
export class ShadowReporter {
  readonly #send: (reports: readonly CopyReport[]) => void
  readonly #waiting = new Map<Shadow, Waiting>()
  #timer: NodeJS.Timeout | undefined

  constructor(send: (reports: readonly CopyReport[]) => void) {
    this.#send = send
  }

  add(name: string, shadow: Shadow, event: ShadowEvent): void {
    const waiting = this.#waiting.get(shadow) ?? { name, shadow, skipped: {}, ended: [] }
    this.#waiting.set(shadow, waiting)
    const { skipped, ended } = waiting
    if ('skipped' in event) skipped[event.skipped] = (skipped[event.skipped] ?? 0) + 1
    else ended.push(event)
    if (ended.length >= MAX_COPIES) this.#report()
    else this.#timer ??= setTimeout(() => this.#report(), REPORT_MS).unref()
  }

  #report(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const reports = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#send(reports)
  }
}
