/** Checks pipelines. Both processes use this file, so it needs no library for schemas. */
import { ServerError } from '../errors.ts'
import type { PipelineSettings } from './pipeline-settings.ts'

/** The handler of a model with this setting. No file of a model can have this name. */
export const PIPELINE_HANDLER = '(pipeline)'

/** Returns the pipeline that serves a model; `undefined` for other models. */
export function pipelineOf({
  handler,
  settings,
}: {
  readonly handler: string
  readonly settings: { readonly pipeline?: PipelineSettings | undefined }
}): PipelineSettings | undefined {
  return handler === PIPELINE_HANDLER ? settings.pipeline : undefined
}

/** How messages say that a model has no built-in handler. */
export function codeText(model: Parameters<typeof pipelineOf>[0]): string {
  return pipelineOf(model) === undefined ? 'has a custom handler' : 'is a pipeline'
}

/** The inputs and outputs of a pipeline. */
export interface PipelineNames {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

/**
 * Returns the names that requests and responses have.
 * @throws ServerError `InvalidModelException` if the steps do not fit together.
 */
export function namesOf({ steps, outputs }: PipelineSettings): PipelineNames {
  const inputs = new Set<string>()
  const written = new Set<string>()
  const read = new Set<string>()
  if (steps.length === 0) throw invalid('The pipeline has no step.')
  for (const [index, step] of steps.entries()) {
    if (step.model === '') throw invalid(`Step ${index + 1} of the pipeline names no model.`)
    const where = `Step ${index + 1} of the pipeline (model ${step.model})`
    for (const name of Object.values(step.inputs)) {
      read.add(name)
      if (!written.has(name)) inputs.add(name)
    }
    const ours = Object.values(step.outputs)
    if (ours.length === 0) throw invalid(`${where} has no output.`)
    for (const name of ours) {
      if (inputs.has(name))
        throw invalid(`${where} writes "${name}", which it or an earlier step reads.`)
      if (written.has(name)) throw invalid(`${where} writes "${name}" a second time.`)
      written.add(name)
    }
  }
  if (inputs.size === 0) throw invalid('The pipeline has no input: its steps read nothing.')
  const unknown = outputs?.find((name) => !written.has(name))
  if (unknown !== undefined) throw invalid(`No step of the pipeline writes "${unknown}".`)
  return { inputs: [...inputs], outputs: outputs ?? [...written].filter((one) => !read.has(one)) }
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
