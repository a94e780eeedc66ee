import { ServerError } from '../errors.ts'
import type { PreparedModel } from './source.ts'

/** Nothing is wrong with the model: somebody unregistered it meanwhile. */
export class UnwantedLoadError extends ServerError {
  constructor(stage: 'downloaded' | 'loaded') {
    const text = `The model was unregistered while it was being ${stage}.`
    super('ConflictStatusException', text)
  }
}

/** The version may not be known yet. */
type Identity = Pick<PreparedModel, 'name'> & Partial<Pick<PreparedModel, 'version'>>

/** The versions of one model on their way. */
export interface Load {
  /** Aborted when nobody wants them any more. */
  readonly signal: AbortSignal
  /** They are served, or nothing is left of them. */
  readonly end: () => void
}

interface RunningLoad {
  readonly models: readonly Identity[]
  readonly controller: AbortController
  readonly ended: Promise<void>
}

/** What is being loaded: the names and versions are taken, and not visible yet. */
export class Loads {
  readonly #running = new Set<RunningLoad>()

  has(name: string, version?: string): boolean {
    return [...this.#running].some(({ models }) =>
      models.some(
        (model) => model.name === name && (version === undefined || model.version === version),
      ),
    )
  }

  begin(models: readonly Identity[]): Load {
    const controller = new AbortController()
    let sayEnded = (): void => {}
    const ended = new Promise<void>((resolve) => (sayEnded = resolve))
    const load: RunningLoad = { models, controller, ended }
    this.#running.add(load)
    const end = (): void => {
      this.#running.delete(load)
      sayEnded()
    }
    return { signal: controller.signal, end }
  }

  /** Ends what is being loaded under a name; says when nothing of it is left whether there was anything. */
  async abort(name: string): Promise<boolean> {
    const wanted = [...this.#running].filter(({ models }) =>
      models.some((model) => model.name === name),
    )
    for (const { controller } of wanted) controller.abort()
    await Promise.all(wanted.map(({ ended }) => ended))
    return wanted.length > 0
  }
}
