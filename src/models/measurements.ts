/** Measurements of one version, in workers that serve no client. Each is created when used. */
import { DeepCheck } from './deep-check/deep-check.ts'
import type { DeepCheckReport } from './deep-check/deep-check.ts'
import type { EffectiveSettings } from './effective-settings.ts'
import { Profiler } from './profiling/profiler.ts'
import type { ModelContext } from './registration.ts'
import type { PreparedModel } from './sources/prepare.ts'

/** The parts of the server's context that are needed. */
type Context = Pick<ModelContext, 'factory' | 'memory'>

export class Measurements {
  readonly #prepared: PreparedModel
  readonly #settings: EffectiveSettings
  readonly #context: Context
  #profiler: Profiler | undefined
  #deepCheck: DeepCheck | undefined

  constructor(prepared: PreparedModel, settings: EffectiveSettings, context: Context) {
    this.#prepared = prepared
    this.#settings = settings
    this.#context = context
  }

  get profiler(): Profiler {
    return (this.#profiler ??= new Profiler(this.#prepared, this.#settings, this.#context.factory))
  }

  get deepCheck(): DeepCheck {
    const { factory, memory } = this.#context
    const model = { prepared: this.#prepared, settings: this.#settings, factory }
    return (this.#deepCheck ??= new DeepCheck(model, memory))
  }

  /** Result of the deep check; `undefined` if there was none. */
  get deepCheckReport(): DeepCheckReport | undefined {
    return this.#deepCheck?.report
  }

  /** Ends what runs, and waits until its processes have ended. */
  async close(): Promise<void> {
    this.#profiler?.close()
    await this.#deepCheck?.close()
  }
}
