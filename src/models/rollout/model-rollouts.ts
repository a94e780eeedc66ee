/** The rollouts of all models. */
import type { Logger } from 'pino'
import { ServerError, messageOf } from '../../errors.ts'
import type { Changes } from '../changes.ts'
import type { ModelTable } from '../model-table.ts'
import type { ModelVersion } from '../model-version.ts'
import { versionOfLabel, withoutMissing } from '../routing/routing.ts'
import { RolloutObserver } from './observer.ts'
import type { Finding } from './observer.ts'
import { checkPlan } from './plan.ts'
import type { RolloutPlan, RolloutRecord } from './plan.ts'
import type { VersionReport } from './reporter.ts'
import {
  advance,
  beginRollout,
  end,
  isActive,
  isSameRouting,
  pause,
  presentWeights,
  refuseDuring,
  routingOf,
} from './rollout.ts'
import type { AgreementSource } from './running-step.ts'
import { showRollout } from './shown-rollout.ts'
import type { ShownRollout } from './shown-rollout.ts'

/** Pause after a change that could not be saved. */
const RETRY_MS = 5000

/** Texts for the log, for events whose name cannot be used as text. */
const EVENT_TEXTS: Readonly<Record<string, string>> = {
  step: 'goes on',
  rolled_back: 'rolled back',
}

type RolloutLog = Pick<Logger, 'info' | 'warn' | 'error'>

/** Comparisons of shadow traffic. */
interface Shadows {
  readonly agreementOf: AgreementSource
}

/** Makes the changes of rollouts, on request and by evidence. Each is saved with the routing. */
export class ModelRollouts {
  readonly #table: ModelTable
  readonly #changes: Changes
  readonly #log: RolloutLog
  readonly #observer: RolloutObserver
  readonly #shadows: Shadows
  /** Models with a change that is being saved, or that waits after a failure. */
  readonly #busy = new Set<string>()

  constructor(table: ModelTable, changes: Changes, log: RolloutLog, shadows: Shadows) {
    this.#shadows = shadows
    this.#table = table
    this.#changes = changes
    this.#log = log
    this.#observer = new RolloutObserver({
      table,
      agreement: (model, version) => shadows.agreementOf(model, version),
      onFinding: (name, record, finding) => void this.#act(name, record, finding),
    })
  }

  /** The records of all models that have or had a rollout. */
  get all(): readonly { readonly name: string; readonly rollout: RolloutRecord }[] {
    return this.#table.rollouts
  }

  /** All rollouts as the API shows them. */
  get shown(): readonly { readonly name: string; readonly rollout: ShownRollout }[] {
    return this.all.map(({ name }) => ({ name, rollout: this.of(name) }))
  }

  /**
   * Returns the rollout of a model that runs, or the last one, after changes that are being saved.
   * @throws ServerError 404.
   */
  async read(name: string): Promise<ShownRollout> {
    await this.#changes.make(() => () => {}, false)
    return this.of(name)
  }

  /** As {@link read}, with a change that may not be saved yet. */
  of(name: string): ShownRollout {
    return showRollout(this.#recordOf(name), this.#observer.lastLook(name))
  }

  /**
   * Begins a rollout.
   * @param value From outside.
   * @throws ServerError 400, 404; 409 if it cannot begin; 507 if it could not be saved.
   */
  async begin(name: string, value: unknown): Promise<ShownRollout> {
    this.#table.versions(name)
    const asked = checkPlan(value)
    await this.#changes.make(() => {
      const plan = { ...asked, to: this.#table.existing(name, asked.to).version }
      const from = this.#checkStart(name, plan)
      const before = this.#table.chooser(name)?.routing
      return this.#table.rollOut(name, beginRollout(plan, from, before, now()))
    })
    this.#show(name)
    return this.of(name)
  }

  /** Pauses or resumes. @throws ServerError 404, 409 if no rollout runs. */
  async pause(name: string, isPaused: boolean): Promise<ShownRollout> {
    await this.#change(name, (record) => pause(record, isPaused, now()))
    this.#observer.look(name)
    return this.of(name)
  }

  /** Ends a rollout and restores the routing. @throws ServerError 404, 409 if no rollout runs. */
  async abort(name: string): Promise<ShownRollout> {
    await this.#change(name, (record) => end(record, 'aborted', 'a request asked for it', now()))
    return this.of(name)
  }

  /**
   * Continues a rollout of the saved state at its step, with new observations.
   * @throws ServerError if a version is missing.
   */
  async restore(name: string, record: RolloutRecord): Promise<void> {
    await this.#changes.make(() => {
      this.#table.versions(name)
      if (!isActive(record)) return this.#table.setRollout(name, record)
      for (const version of [record.plan.to, ...record.from]) this.#table.existing(name, version)
      const routing = this.#table.chooser(name)?.routing
      if (isSameRouting(routing, routingOf(record))) return this.#table.rollOut(name, record)
      const ended = end(record, 'aborted', 'the routing was changed while it did not run', now())
      return this.#table.setRollout(name, ended)
    }, false)
    this.#observer.observe(name)
  }

  /** Adds what another HTTP process has seen of a version that a rollout judges. */
  add(model: ModelVersion, report: VersionReport): void {
    this.#observer.lastLook(model.name)?.step.add(model, report, report.times)
  }

  /** Stops observing, because versions of a server that stops reject requests. */
  close(): void {
    this.#observer.close()
  }

  #recordOf(name: string): RolloutRecord {
    this.#table.versions(name)
    const record = this.#table.rollout(name)
    if (record !== undefined) return record
    throw new ServerError('ResourceNotFoundException', `Model ${name} has no rollout.`)
  }

  /** Returns the present versions. @throws ServerError 409. */
  #checkStart(name: string, { to, min_agreement: minAgreement }: RolloutPlan): readonly string[] {
    refuseDuring(this.#table.rollout(name), name)
    const { status } = this.#table.existing(name, to)
    if (status.wantedWorkers === 0 && status.residency === undefined)
      throw conflict(`Version ${to} of model ${name} has no workers. Scale it first.`)
    const routing = this.#table.chooser(name)?.routing
    const usual = this.#table.find(name)?.version ?? ''
    const names = Object.keys(presentWeights(routing, to, usual))
    if (names.length === 0)
      throw conflict(`Version ${to} of model ${name} already gets all requests.`)
    if (minAgreement !== undefined && this.#shadows.agreementOf(name, to) === undefined)
      throw conflict(
        `min_agreement needs shadow traffic to version ${to} of model ${name}. Start it first, or leave min_agreement out.`,
      )
    return [...new Set(names.map((one) => versionOfLabel(routing ?? {}, one) ?? one))]
  }

  /** @throws ServerError 409 if no rollout runs. */
  async #change(
    name: string,
    change: (record: RolloutRecord) => RolloutRecord,
    isSaved = true,
  ): Promise<void> {
    let isChanged = false
    await this.#changes.make(() => {
      const record = this.#recordOf(name)
      if (!isActive(record))
        throw conflict(`The rollout of model ${name} has ended: ${record.state}.`)
      const after = change(record)
      isChanged = after !== record
      return isChanged ? this.#table.rollOut(name, after) : () => {}
    }, isSaved)
    if (isChanged) this.#show(name)
  }

  /** Makes the change that the evidence asks for. */
  async #act(name: string, seen: RolloutRecord, finding: Finding): Promise<void> {
    if (this.#busy.has(name)) return
    this.#busy.add(name)
    const change = (record: RolloutRecord): RolloutRecord =>
      // A request may have paused or aborted it meanwhile.
      record === seen ? this.#changed(name, record, finding) : record
    try {
      await this.#change(name, change)
    } catch (error) {
      if (error instanceof ServerError && error.type !== 'StateNotSavedException') return
      this.#log.error({ model: name, reason: messageOf(error) }, 'rollout could not be saved')
      // A bad version gets no more requests, even if that is not saved. After a restart its rollout
      // would go on at its step, and be rolled back again.
      const isBack = finding.kind === 'decided' && finding.decision.kind === 'back'
      if (isBack) await this.#change(name, change, false).catch(() => {})
      else await new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS).unref())
    } finally {
      this.#busy.delete(name)
    }
  }

  #changed(name: string, record: RolloutRecord, finding: Finding): RolloutRecord {
    if (finding.kind === 'gone') {
      const reason = `version ${finding.version} was removed`
      return end(this.#withoutGone(name, record), 'aborted', reason, now())
    }
    const { kind, reason } = finding.decision
    if (kind === 'back') return end(record, 'rolled_back', reason, now())
    return advance(record, finding.step.baseline(), reason, now())
  }

  /** The routing that is restored must not name versions that were removed. */
  #withoutGone(name: string, record: RolloutRecord): RolloutRecord {
    const { before, ...others } = record
    const left = before && withoutMissing(before, (version) => this.#table.has(name, version))
    return left === undefined ? others : { ...others, before: left }
  }

  /** Observes the new step, and logs what happened. */
  #show(name: string): void {
    this.#observer.observe(name)
    const { state, plan, step, events } = this.#recordOf(name)
    const { event = '', share, reason } = events.at(-1) ?? {}
    const line = { model: name, version: plan.to, state, step: step + 1, share, reason }
    const level = state === 'rolled_back' || state === 'aborted' ? 'warn' : 'info'
    this.#log[level](line, `rollout ${EVENT_TEXTS[event] ?? event}`)
  }
}

function conflict(message: string): ServerError {
  return new ServerError('ConflictStatusException', message)
}

function now(): string {
  return new Date().toISOString()
}
