/** Whether the models that a pipeline calls can serve. */
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { stepName } from './derive-types.ts'
import { circleOf, circleText, findStep } from './step-facts.ts'
import type { StepSource } from './step-facts.ts'

/**
 * Returns why a pipeline is not ready, as a sentence that begins with its first step that cannot
 * serve now: it is not registered, is being loaded, or has no worker. A model that is loaded on
 * demand can serve. Returns `undefined` if all steps can, and for other models.
 */
export function missingStep(
  prepared: Pick<PreparedModel, 'name' | 'handler' | 'settings'>,
  source: StepSource,
): string | undefined {
  const pipeline = pipelineOf(prepared)
  if (pipeline === undefined) return undefined
  const circle = circleOf(prepared.name, pipeline, source)
  if (circle !== undefined) return circleText(circle)
  // Pipelines may share steps: without this set, each level could double the number of looks.
  return search(pipeline, source, new Set())
}

function search(
  { steps }: PipelineSettings,
  source: StepSource,
  ready: Set<unknown>,
): string | undefined {
  for (const [index, step] of steps.entries()) {
    const { version, problem } = findStep(step, source)
    if (version !== undefined && ready.has(version)) continue
    if (version !== undefined) ready.add(version)
    const inner = version && pipelineOf(version.prepared)
    const reason =
      problem ??
      (version?.hasWorker === true ? undefined : 'No worker of the model is ready.') ??
      (inner && search(inner, source, ready))
    if (reason !== undefined) return `${stepName(step, index)}: ${reason}`
  }
  return undefined
}
