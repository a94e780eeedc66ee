import { didYouMean } from '../../../closest-name.ts'
/** Chooses the recorded requests of one model. */
import { ConfigError } from '../../../errors.ts'
import type { Recording } from '../../../recording/recording.ts'

type Place = Recording['places'][number]

/** A recorded request, without its bodies. */
export interface SelectedRequest {
  readonly place: Place
  readonly time: number
  readonly ms: number
  readonly status: number
}

/** The requests of one model, the oldest first. */
export interface Selection {
  readonly model: string
  readonly requests: readonly SelectedRequest[]
}

/** Which requests to choose. */
export interface SelectionOptions {
  /** The model, if it is named. */
  readonly model: string | undefined
  /** A name that is taken if the recording has it. */
  readonly preferred: string | undefined
  /** Maximum number of requests; the newest are taken. */
  readonly limit: number
  readonly signal: AbortSignal
}

/** @throws ConfigError if the recording has no requests of the model, or several models. */
export async function selectRequests(
  recording: Recording,
  file: string,
  { model, preferred, limit, signal }: SelectionOptions,
): Promise<Selection> {
  const byModel = new Map<string, SelectedRequest[]>()
  for (const place of recording.places) {
    signal.throwIfAborted()
    const recorded = await recording.read(place)
    if (recorded === undefined) continue
    const { time, ms, status } = recorded
    const list = byModel.get(recorded.model) ?? []
    byModel.set(recorded.model, list)
    list.push({ place, time, ms, status })
  }
  const names = [...byModel.keys()]
  const [only, ...others] = names
  if (only === undefined) throw new ConfigError(`${file} has no requests.`)
  const isPreferred = preferred !== undefined && byModel.has(preferred)
  const chosen = model ?? (isPreferred ? preferred : others.length === 0 ? only : undefined)
  if (chosen === undefined) {
    const list = names.toSorted().join(', ')
    throw new ConfigError(`${file} has requests of several models: ${list}. Name one with --model.`)
  }
  const requests = byModel.get(chosen)
  if (requests !== undefined) {
    const inOrder = recording.isDivided
      ? requests.toSorted((one, other) => one.time - other.time)
      : requests
    return { model: chosen, requests: inOrder.slice(-limit) }
  }
  throw new ConfigError(
    `${file} has no requests of model ${JSON.stringify(chosen)}.${didYouMean(chosen, names)}`,
  )
}
