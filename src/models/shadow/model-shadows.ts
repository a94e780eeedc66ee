/** The shadows of all models: a version of each gets copies of requests, and is compared. */
import { ServerError } from '../../errors.ts'
import type { Changes } from '../changes.ts'
import type { ModelTable } from '../model-table.ts'
import type { ObservedPrediction, PredictionObserver } from './observed-prediction.ts'
import type { ShadowReport, SkipReason } from './report.ts'
import type { CopyReport } from './reporter.ts'
import type { ShadowCounts, ShadowEvent } from './shadow-counts.ts'
import { ShadowRuns } from './shadow-runs.ts'
import type { SpareMemory } from './shadow-runs.ts'
import { checkShadow } from './shadow-settings.ts'
import type { Shadow } from './shadow-settings.ts'

const NO_MEMORY: SpareMemory = { holdSpare: () => false, releaseSpare: () => {} }
/** Statuses from here on are errors. */
const FIRST_ERROR = 400

/** How often the responses of a version agreed. */
export interface Agreement {
  /** Copies that have ended. */
  readonly compared: number
  readonly agreed: number
}

export class ModelShadows implements PredictionObserver {
  readonly #table: ModelTable
  readonly #changes: Changes
  /** By the settings in the table, so that a change that is undone keeps its counts. */
  readonly #runs = new WeakMap<Shadow, ShadowRuns>()
  /** Memory for copies; without it there are none. */
  memory: SpareMemory = NO_MEMORY
  /** Called with the events of all copies, to report them to another HTTP process. */
  onEvent: ((name: string, shadow: Shadow, event: ShadowEvent) => void) | undefined

  constructor(table: ModelTable, changes: Changes) {
    this.#table = table
    this.#changes = changes
  }

  /** Models with a shadow. */
  get all(): readonly { readonly name: string; readonly shadow: Shadow }[] {
    return this.#table.names.flatMap((name) => {
      const shadow = this.#table.shadow(name)
      return shadow === undefined ? [] : [{ name, shadow }]
    })
  }

  /** What the shadow versions of all models have shown. */
  get counts(): readonly { name: string; version: string; counts: ShadowCounts }[] {
    return this.all.map(({ name, shadow }) => ({
      name,
      version: shadow.version,
      counts: this.#runsOf(name, shadow).counts,
    }))
  }

  /**
   * Sets the shadow of a model. What a version has shown is kept as long as it is the shadow, with
   * the same tolerance.
   * @param value From outside.
   * @param isSaved False if it comes from the saved state.
   * @throws ServerError 400 or 404, or if the change could not be saved.
   */
  async set(name: string, value: unknown, isSaved = true): Promise<Shadow> {
    const versionOf = (named: string): string | undefined => this.#table.find(name, named)?.version
    let shadow: Shadow | undefined
    await this.#changes.make(() => {
      this.#table.versions(name)
      const next = checkShadow(value, name, versionOf)
      const before = this.#table.shadow(name)
      if (before !== undefined && isSame(next, before))
        this.#runs.set(next, this.#newRuns(name, next, this.#runsOf(name, before).counts))
      shadow = next
      return this.#table.setShadow(name, next)
    }, isSaved)
    return shadow ?? this.#shadowOf(name)
  }

  /**
   * Removes the shadow of a model.
   * @throws ServerError 404 if it has none, or if the change could not be saved.
   */
  async remove(name: string): Promise<void> {
    await this.#changes.make(() => {
      this.#shadowOf(name)
      return this.#table.setShadow(name, undefined)
    })
  }

  /**
   * Reports what the shadow of a model has shown since it was set, or since the server started.
   * @throws ServerError 404 if the model does not exist or has no shadow.
   */
  report(name: string): ShadowReport {
    return this.#runsOf(name, this.#shadowOf(name)).report()
  }

  /**
   * How often the responses of a version agreed with those that clients got; `undefined` if the
   * version is not the shadow of its model. A copy without a response, for example because its
   * worker died, counts as one that does not agree.
   */
  agreementOf(name: string, version: string): Agreement | undefined {
    const shadow = this.#table.shadow(name)
    if (shadow?.version !== version) return undefined
    const { compared, failed, agreed } = this.#runsOf(name, shadow).counts
    return { compared: compared + failed, agreed }
  }

  /** Adds what copies in another HTTP process have shown. */
  add(reports: readonly CopyReport[]): void {
    for (const report of reports) this.#add(report)
  }

  observe(prediction: ObservedPrediction): void {
    const { model, response } = prediction
    const { name, version } = model
    const shadow = this.#table.shadow(name)
    if (shadow === undefined || shadow.version === version) return
    if (response.status >= FIRST_ERROR) return
    if (Math.random() >= (shadow.share ?? 1)) return
    this.#runsOf(name, shadow).offer(prediction, this.#table.find(name, shadow.version))
  }

  #add({ name, shadow: then, skipped, ended }: CopyReport): void {
    const shadow = this.#table.shadow(name)
    // Another version has become the shadow meanwhile.
    if (shadow === undefined || !isSame(shadow, then)) return
    const { counts } = this.#runsOf(name, shadow)
    for (const [reason, count] of Object.entries(skipped)) counts.skip(reason as SkipReason, count)
    counts.copied += ended.length
    for (const end of ended) counts.end(end)
    if (shadow.keepInputs !== true) counts.dropInputs()
  }

  #shadowOf(name: string): Shadow {
    this.#table.versions(name)
    const shadow = this.#table.shadow(name)
    if (shadow !== undefined) return shadow
    const text = `Model ${name} has no shadow. Set one with PUT /models/${name}/shadow.`
    throw new ServerError('ResourceNotFoundException', text)
  }

  #newRuns(name: string, shadow: Shadow, counts?: ShadowCounts): ShadowRuns {
    const onEvent = (event: ShadowEvent): void => this.onEvent?.(name, shadow, event)
    return new ShadowRuns(shadow, { memory: this.memory, counts, onEvent })
  }

  #runsOf(name: string, shadow: Shadow): ShadowRuns {
    const known = this.#runs.get(shadow)
    if (known !== undefined) return known
    const runs = this.#newRuns(name, shadow)
    this.#runs.set(shadow, runs)
    return runs
  }
}

/** Whether the counts of the one also are those of the other. */
function isSame(one: Shadow, other: Shadow): boolean {
  return (
    one.version === other.version &&
    JSON.stringify(one.tolerance ?? {}) === JSON.stringify(other.tolerance ?? {})
  )
}
