/** `--watch`: loads a model again when its files change. For development. */
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registry } from '../registry.ts'
import { prepareAgain } from '../sources/prepare.ts'
import type { Place, PreparedModel, SourceOptions } from '../sources/prepare.ts'

/** Interval at which files are compared. */
const CHECK_MS = 300

/** What {@link watchModels} needs. */
export interface WatchContext {
  readonly registry: Registry
  readonly sources: SourceOptions
  readonly log: Logger
  /** Ends the watch. */
  readonly signal: AbortSignal
}

/** A served model. */
interface WatchedModel {
  readonly versions: readonly ModelVersion[]
  /** The versions, or those that were found last and could not be loaded. */
  known: readonly PreparedModel[]
  /** Why the last load failed; empty if it did not. */
  lastReason: string
}

/**
 * Compares the files of the served models again and again. After a change new workers load the
 * model; the old ones serve until they are ready, and stay if the load fails. Not watched: models
 * from the network, whose files cannot change, those whose versions were registered one by one,
 * because a load replaces all of them with the settings of one registration, and those that a load
 * request of Triton has configured.
 */
export function watchModels(context: WatchContext): void {
  const { registry, signal } = context
  const watched = new Map<string, WatchedModel>()
  const checkAll = async (): Promise<void> => {
    for (const name of watched.keys()) if (!registry.has(name)) watched.delete(name)
    for (const name of registry.names) {
      if (signal.aborted) return
      if (registry.has(name)) await check(name, watched, context)
    }
  }
  let isBusy = false
  const timer = setInterval(() => {
    if (isBusy) return
    isBusy = true
    void checkAll().finally(() => (isBusy = false))
  }, CHECK_MS).unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

/** Never rejects. */
async function check(
  name: string,
  watched: Map<string, WatchedModel>,
  { registry, sources, log, signal }: WatchContext,
): Promise<void> {
  const versions = registry.versions(name).filter(({ version }) => registry.has(name, version))
  const place = commonPlace(versions)
  const [first] = versions
  if (place === undefined || first === undefined) return
  const before = watched.get(name)
  const isSame = before?.versions.every((version, index) => version === versions[index])
  const model =
    before !== undefined && isSame === true && before.versions.length === versions.length
      ? before
      : { versions, known: versions.map(({ prepared }) => prepared), lastReason: '' }
  watched.set(name, model)
  const change = await findChange(model.known)
  // Someone replaces or removes the model.
  if (change === undefined || signal.aborted || !registry.has(name)) return
  if (registry.loadOf(name) !== undefined) return
  const { options, origin } = first
  const registration = { options, origin: origin === 'start' ? origin : 'request' } as const
  try {
    const prepare = async (stop: AbortSignal): Promise<readonly PreparedModel[]> =>
      (model.known = await prepareAgain(place, { ...sources, signal: stop }))
    await registry.reload(name, { ...registration, loadsNow: true }, prepare).done
    await registry.changes.whenShared()
    log.info({ model: name, change }, 'the files of the model changed; it was loaded again')
  } catch (error) {
    const reason = messageOf(error)
    if (signal.aborted || reason === model.lastReason) return
    model.lastReason = reason
    const text = 'the files of the model changed, but it cannot be loaded; the old one still serves'
    log.error({ model: name, change, reason }, text)
  }
}

/** The place of all versions; `undefined` if they have several, or came from the network. */
function commonPlace(versions: readonly ModelVersion[]): Place | undefined {
  const places = new Set(versions.map(({ prepared }) => prepared.place))
  // A load request of Triton may have set other settings than the files.
  const isPlain = versions.every(({ prepared: { delivery, loadReport } }) => {
    return delivery === undefined && loadReport === undefined
  })
  const [place] = places
  return places.size === 1 && isPlain ? place : undefined
}

async function findChange(models: readonly PreparedModel[]): Promise<string | undefined> {
  for (const { files } of models) {
    const change = await files?.findChange()
    if (change !== undefined) return change
  }
  return undefined
}
