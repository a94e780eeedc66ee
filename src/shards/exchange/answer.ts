/** The answers of a further process to questions of process 0. */
import type { OpenListener } from '../../listen-all.ts'
import { describeVersion } from '../../models/describe-version.ts'
import type { ModelService } from '../../models/model-service.ts'
import { liveProcess } from '../../routes/console/live-process.ts'
import { healthOf } from '../../routes/process-health.ts'
import type { Question } from '../messages.ts'

/** What the answers are about. */
export interface Answering {
  /** Listeners that are open. */
  readonly open: readonly OpenListener[]
  /** Resolves when the process has started; with `undefined` if it could not. */
  readonly starting: Promise<{ readonly service: ModelService } | undefined>
  readonly gpus: number
}

/** Returns the answer; `undefined` if there is none. */
export async function answer(
  question: Question,
  { open, starting, gpus }: Answering,
): Promise<unknown> {
  if (question.about === 'alive') return true
  if (question.about === 'listeners') {
    for (const listener of open) listener.stopListening()
    return true
  }
  if (question.about === 'clients')
    return open.some((listener) => listener.hasClientsWithin(question.withinMs))
  const started = await starting
  if (started === undefined) return undefined
  const { registry, metrics, modelMemory } = started.service
  switch (question.about) {
    case 'live':
      return liveProcess({ registry, metrics, modelMemory })
    case 'metrics':
      return metrics.text(question.names)
    case 'health':
      return healthOf(registry, question.place)
    case 'version': {
      const { name, version } = question
      if (registry.has(name, version)) return describeVersion(registry.get(name, version), gpus)
      return registry.loads.isLoading(name, version) ? 'LOADING' : undefined
    }
  }
}
