/** Finds the models of a pipeline's steps in the folder that contains the pipeline. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import { asHandlerMetadata, asPipeline } from '../../models/model-metadata.ts'
import type { TensorMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { PreparedModel } from '../../models/sources/prepare.ts'
import { withFiles } from './private-server.ts'

/** Pipelines that call one another are followed to this depth, as the server does. */
const MAX_MODELS = 8

/** The models of all steps, and of the pipelines among them. */
export interface FoundSteps {
  /** `name=path` for each model beside the pipeline. */
  readonly models: readonly string[]
  /** Names of models that are not there. */
  readonly missing: readonly string[]
}

/** Returns `undefined` for a model that is no pipeline. */
export async function findSteps(
  model: string,
  versions: readonly PreparedModel[],
  signal: AbortSignal,
): Promise<FoundSteps | undefined> {
  if (!versions.some((version) => pipelineOf(version) !== undefined)) return undefined
  const store = path.dirname(path.resolve(model))
  const models = new Map<string, string>()
  const own = new Set(versions.map(({ name }) => name))
  const missing = new Set<string>()
  const add = async (all: readonly PreparedModel[], depth: number): Promise<void> => {
    const steps = all.flatMap((version) => pipelineOf(version)?.steps ?? [])
    for (const { model: name } of steps) {
      // The pipeline itself is loaded anyway; a step of a step may be in a circle with it.
      if (own.has(name) || models.has(name) || missing.has(name) || depth === MAX_MODELS) continue
      const place = await placeOf(store, name)
      if (place === undefined) missing.add(name)
      else {
        models.set(name, `${name}=${place}`)
        const inner = await withFiles(place, signal, async (found) => [...found]).catch(() => [])
        await add(inner, depth + 1)
      }
    }
  }
  await add(versions, 1)
  return { models: [...models.values()], missing: [...missing] }
}

/**
 * What `onnxd check` says of a pipeline: its steps, and what it takes and returns.
 * @param text What is known about its load.
 * @param failed Models that could not be loaded.
 */
export function checkedPipeline(
  text: string,
  versions: readonly ModelVersion[],
  { models, missing }: FoundSteps,
  failed: readonly { readonly url: string; readonly reason: string }[],
): { readonly ok: boolean; readonly text: string } {
  const metadata = versions.at(-1)?.metadata
  const { problem, steps = [] } = asPipeline(metadata) ?? {}
  const names = [...new Set(steps.map(({ model }) => model))].join(', ')
  const lines = [`${text}; a pipeline of ${names}`]
  for (const { url, reason } of failed)
    if (models.includes(url)) lines.push(`${url.split('=', 1)[0]} cannot be loaded: ${reason}`)
  if (missing.length > 0)
    lines.push(`not in the folder beside it, so not checked: ${missing.join(', ')}`)
  const known = asHandlerMetadata(metadata)
  if (problem !== undefined) lines.push(problem)
  else if (known !== undefined)
    lines.push(`inputs: ${typesText(known.inputs)}`, `outputs: ${typesText(known.outputs)}`)
  return { ok: problem === undefined, text: lines.join('. ') }
}

function typesText(tensors: readonly TensorMetadata[]): string {
  return tensors
    .map(({ name, datatype, shape, anyShape }) =>
      anyShape === true ? `${name} ${datatype}` : `${name} ${datatype} [${shape.join(',')}]`,
    )
    .join(', ')
}

/** A folder with the name of the model, or a file. */
async function placeOf(store: string, name: string): Promise<string | undefined> {
  const names = await readdir(store)
  const found = ['', '.onnx', '.mar', '.model', '.zip', '.tar.gz'].find((extension) =>
    names.includes(name + extension),
  )
  return found === undefined ? undefined : path.join(store, name + found)
}
