/** `--watch`: loads a model again when its files change. For development. */
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registry } from '../registry.ts'
import type { PreparedModel } from '../sources/prepare.ts'

/** Interval at which files are compared. */
const CHECK_MS = 300

/** A model of the start. */
export interface WatchedModel {
  readonly versions: readonly ModelVersion[]
  /** Finds the versions again. */
  readonly prepare: () => Promise<PreparedModel[]>
}

/** What {@link watchFiles} needs. */
export interface WatchContext {
  readonly registry: Registry
  readonly log: Logger
  /** Ends the watch. */
  readonly signal: AbortSignal
}

/**
 * Compares the files of a model again and again. After a change new workers load the model; the old
 * ones serve until they are ready, and stay if the load fails.
 */
export function watchFiles({ versions, prepare }: WatchedModel, context: WatchContext): void {
  const { registry, log, signal } = context
  const [first] = versions
  if (first === undefined) return
  const { name } = first
  const { options } = first
  let known = versions.map(({ prepared }) => prepared)
  let isBusy = false
  let lastReason = ''
  const check = async (): Promise<void> => {
    const change = await findChange(known)
    if (change === undefined || signal.aborted) return
    // Someone has removed the model, or replaces it.
    if (!registry.has(name) || registry.loadOf(name) !== undefined) return
    try {
      await registry.reload(
        name,
        { options, origin: 'start', loadsNow: true },
        async () => (known = await prepare()),
      ).done
      lastReason = ''
      log.info({ model: name, change }, 'the files of the model changed; it was loaded again')
    } catch (error) {
      const reason = messageOf(error)
      if (signal.aborted || reason === lastReason) return
      lastReason = reason
      const text =
        'the files of the model changed, but it cannot be loaded; the old one still serves'
      log.error({ model: name, change, reason }, text)
    }
  }
  const timer = setInterval(() => {
    if (isBusy) return
    isBusy = true
    void check().finally(() => (isBusy = false))
  }, CHECK_MS).unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

async function findChange(models: readonly PreparedModel[]): Promise<string | undefined> {
  for (const { files } of models) {
    const change = await files?.findChange()
    if (change !== undefined) return change
  }
  return undefined
}
