/** Checks one version of a model in worker processes that serve no client. */
import { ServerError, messageOf } from '../../errors.ts'
import { changedFiles } from '../sources/file-check.ts'
import { MemoryGuard } from '../workers/memory-guard.ts'
import { adviceFor } from './advice.ts'
import { Examination } from './examination.ts'
import type { ExaminationOptions } from './examination.ts'
import { bodyRequest } from './example-requests.ts'
import type { ExampleRequest } from './example-requests.ts'
import type { DeepCheckReport, GrowingReport } from './report.ts'
import type { TrialModel } from './trial-worker.ts'

export { bodyRequest }
export type { DeepCheckReport }

export const DEFAULT_DEEP_CHECK_MS = 60_000

/** The deep checks of one version. At most one runs at a time. */
export class DeepCheck {
  readonly #model: TrialModel
  readonly #memory: MemoryGuard
  readonly #closing = new AbortController()
  #report: DeepCheckReport | undefined
  #running: Promise<unknown> | undefined

  /** @param memory Absent if the server has none; then the machine is asked. */
  constructor(model: TrialModel, memory: MemoryGuard | undefined) {
    this.#model = model
    this.#memory = memory ?? new MemoryGuard()
  }

  /** The last result, or how far the check is; `undefined` before the first one. */
  get report(): DeepCheckReport | undefined {
    return this.#report
  }

  /** Shows that a check will run. */
  announce(): void {
    this.#report = { status: 'waiting', findings: [], speeds: [] }
  }

  /**
   * Runs a check. A model that cannot be loaded, memory that is short, and time that is over are
   * results.
   * @param signal Ends it without a result.
   * @param given Requests to send in place of generated ones.
   * @throws ServerError 409 if a check runs; the reason of `signal`.
   */
  async run(
    timeoutMs: number,
    signal: AbortSignal,
    given: readonly ExampleRequest[] = [],
  ): Promise<DeepCheckReport> {
    const { name } = this.#model.prepared
    if (this.#running !== undefined) {
      const text = `A deep check of model ${name} runs already.`
      throw new ServerError('ConflictStatusException', text)
    }
    const ends = AbortSignal.any([signal, this.#closing.signal])
    const work = this.#check(timeoutMs, ends, given)
    this.#running = work
    try {
      return await work
    } finally {
      this.#running = undefined
    }
  }

  /** Ends a running check, and waits until its processes have ended. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running?.catch(() => {})
  }

  async #check(
    timeoutMs: number,
    signal: AbortSignal,
    given: readonly ExampleRequest[],
  ): Promise<DeepCheckReport> {
    const begun = performance.now()
    const startedAt = new Date().toISOString()
    const growing: GrowingReport = { findings: [], speeds: [] }
    const late = AbortSignal.timeout(timeoutMs)
    const report = (status: DeepCheckReport['status']): DeepCheckReport => {
      const { settings, prepared } = this.#model
      const { graphOptimization } = prepared.settings
      const present = { ...settings, graphOptimization }
      const advice = status === 'running' ? undefined : adviceFor(growing, present)
      return (this.#report = {
        status,
        startedAt,
        seconds: Math.round((performance.now() - begun) / 100) / 10,
        ...(growing.load !== undefined && { load: growing.load }),
        findings: [...growing.findings],
        speeds: [...growing.speeds],
        ...(advice !== undefined && { suggestion: advice }),
      })
    }
    report('running')
    try {
      const ends = AbortSignal.any([signal, late])
      const remainingMs = (): number => timeoutMs - (performance.now() - begun)
      await this.#examine(growing, { signal: ends, remainingMs, given })
      return report('done')
    } catch (error) {
      if (signal.aborted) {
        this.#report = undefined
        throw error
      }
      if (late.aborted) {
        const text = `The check was stopped after ${timeoutMs / 1000} s, before everything was measured.`
        growing.findings.push({ level: 'warning', subject: 'time', text })
        return report('stopped')
      }
      growing.findings.push({ level: 'problem', subject: 'load', text: messageOf(error, 1000) })
      return report('failed')
    }
  }

  async #examine(report: GrowingReport, limits: ExaminationOptions): Promise<void> {
    const { prepared, factory } = this.#model
    const change = await prepared.files?.findChange()
    if (change !== undefined) throw changedFiles(prepared.name, change)
    await prepared.archive?.unpack(prepared.name, limits.signal)
    await factory.share(prepared)
    const release = await this.#memory.admit(prepared, 1)
    try {
      await new Examination(this.#model, report, limits).run()
    } finally {
      release()
    }
  }
}
