import type { ModelTable } from '../model-table.ts'
import type { RolloutRecord } from './plan.ts'
import { decide, isActive } from './rollout.ts'
import type { Decision } from './rollout.ts'
import { RunningStep } from './running-step.ts'
import type { AgreementSource } from './running-step.ts'
import type { LastLook } from './shown-rollout.ts'

/** A look costs some microseconds. A bad version gets requests until the next one. */
const LOOK_MS = 250

/** What the observer found: a decision, or a version that was removed. */
export type Finding =
  | { readonly kind: 'decided'; readonly decision: Decision; readonly step: RunningStep }
  | { readonly kind: 'gone'; readonly version: string }

/** What {@link RolloutObserver} needs. */
export interface ObserverOptions {
  readonly table: ModelTable
  readonly agreement: AgreementSource
  /** Called at each look at a rollout that runs, in which there is something to do. */
  readonly onFinding: (name: string, record: RolloutRecord, finding: Finding) => void
}

/** Looks at all rollouts that run, four times a second while there are any. */
export class RolloutObserver {
  readonly #options: ObserverOptions
  readonly #looks = new Map<string, LastLook>()
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  /** The last look at a model's rollout; `undefined` if none runs. */
  lastLook(name: string): LastLook | undefined {
    return this.#looks.get(name)
  }

  /** Begins to observe the present step of a model's rollout, or stops if none runs. */
  observe(name: string): void {
    const { table, agreement: agreementOf } = this.#options
    const record = table.rollout(name)
    const before = this.#looks.get(name)
    if (record === undefined || !isActive(record) || this.#isClosed) return this.#stop(name)
    const { to } = record.plan
    const next = table.find(name, to)
    const present = record.from.map((version) => table.find(name, version))
    if (next === undefined || !present.every((version) => version !== undefined)) return
    if (before?.step.observes(record.step, next, present)) return
    before?.step.close()
    const step = new RunningStep({
      record,
      next,
      present,
      agreement: () => agreementOf(name, to),
      compared: before?.step.comparedBefore,
    })
    this.#looks.set(name, { step, evidence: [], waitingFor: 'the step has just begun' })
    this.#timer ??= setInterval(() => this.#lookAtAll(), LOOK_MS).unref()
  }

  /** Looks at the evidence of a model's rollout. */
  look(name: string): void {
    const { table, onFinding } = this.#options
    this.observe(name)
    const record = table.rollout(name)
    const last = this.#looks.get(name)
    if (record === undefined || last === undefined) return
    const gone = [record.plan.to, ...record.from].find((version) => !table.has(name, version))
    if (gone !== undefined) return onFinding(name, record, { kind: 'gone', version: gone })
    const { step } = last
    const evidence = step.look()
    const decision = decide(record, evidence, step.heldMs)
    this.#looks.set(name, { step, evidence, waitingFor: decision.reason })
    if (decision.kind !== 'wait') onFinding(name, record, { kind: 'decided', decision, step })
  }

  close(): void {
    this.#isClosed = true
    for (const name of this.#looks.keys()) this.#stop(name)
  }

  #lookAtAll(): void {
    for (const name of this.#looks.keys()) this.look(name)
  }

  #stop(name: string): void {
    this.#looks.get(name)?.step.close()
    this.#looks.delete(name)
    if (this.#looks.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
