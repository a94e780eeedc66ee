/** Derives the inputs and outputs of a pipeline from the models of its steps. */
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { namesOf } from '../../model-folder/pipeline.ts'
import type { TensorMetadata } from '../model-metadata.ts'
import type { DeclaredTensors } from './declared-tensors.ts'
import { fits, namesText, narrowed, typeText } from './tensor-text.ts'

/** The tensors of the model of a step. */
export interface StepTensors {
  readonly inputs: readonly TensorMetadata[]
  readonly outputs: readonly TensorMetadata[]
  /** Inputs may be image files in place of tensors. */
  readonly takesImages: boolean
  /** Texts may be sent in place of the inputs; the results of its task are not described. */
  readonly takesTexts: boolean
}

/** The types of a pipeline. */
export interface PipelineTypes {
  /** Absent if the type of one of them is not known. */
  readonly inputs?: readonly TensorMetadata[]
  readonly outputs?: readonly TensorMetadata[]
  /** Inputs that may be image files in place of tensors. */
  readonly images?: readonly string[]
  /** Why the steps do not fit together, as a sentence. */
  readonly problem?: string
}

/** A type, and what says that it is so. */
interface Known {
  readonly tensor: TensorMetadata
  readonly by: string
}

/** A definite mistake, as a sentence. */
class Misfit extends Error {}

/** How messages name a step. */
export function stepName(step: PipelineSettings['steps'][number], index: number): string {
  return `Step ${index + 1} (model ${step.model})`
}

/**
 * @param steps The tensors of each step; `undefined` where they are not known.
 * @param declared The declaration of an ensemble. The steps must fit to it.
 */
export function deriveTypes(
  pipeline: PipelineSettings,
  steps: readonly (StepTensors | undefined)[],
  declared: DeclaredTensors | undefined,
): PipelineTypes {
  const names = namesOf(pipeline)
  try {
    if (declared?.problem !== undefined) throw new Misfit(declared.problem)
    checkNames('input', declared?.inputs, names.inputs)
    checkNames('output', declared?.outputs, names.outputs)
    const known = new Map(
      (declared?.inputs ?? []).map((tensor) => [tensor.name, { tensor, by: 'config.pbtxt' }]),
    )
    for (const [index, step] of pipeline.steps.entries()) {
      const tensors = steps[index]
      if (tensors !== undefined) addStep(step, stepName(step, index), tensors, known)
    }
    for (const tensor of declared?.outputs ?? []) declareOutput(tensor, known)
    const inputs = allOf(names.inputs, known)
    const outputs = allOf(names.outputs, known)
    const images = declared === undefined ? imagesOf(pipeline, steps, names.inputs) : []
    return { ...(inputs && { inputs }), ...(outputs && { outputs }), images }
  } catch (error) {
    if (error instanceof Misfit) return { problem: error.message }
    throw error
  }
}

/** The inputs that only models for images read. */
function imagesOf(
  pipeline: PipelineSettings,
  steps: readonly (StepTensors | undefined)[],
  inputs: readonly string[],
): readonly string[] {
  return inputs.filter((name) =>
    pipeline.steps.every(
      (step, index) =>
        !Object.values(step.inputs).includes(name) || steps[index]?.takesImages === true,
    ),
  )
}

function checkNames(
  kind: 'input' | 'output',
  declared: readonly TensorMetadata[] | undefined,
  names: readonly string[],
): void {
  if (declared === undefined || declared.length === 0) return
  const missing = names.find((name) => !declared.some((tensor) => tensor.name === name))
  const unused = declared.find(({ name }) => !names.includes(name))
  const quoted = JSON.stringify(missing ?? unused?.name)
  if (missing !== undefined)
    throw new Misfit(`config.pbtxt does not declare the ${kind} ${quoted}.`)
  if (unused !== undefined)
    throw new Misfit(`config.pbtxt declares the ${kind} ${quoted}, which no step uses.`)
}

function addStep(
  { inputs, outputs }: PipelineSettings['steps'][number],
  where: string,
  model: StepTensors,
  known: Map<string, Known>,
): void {
  for (const [theirs, ours] of Object.entries(inputs)) {
    const wanted = model.inputs.find(({ name }) => name === theirs)
    if (wanted !== undefined) addInput(wanted, ours, where, model, known)
    else if (model.takesTexts) addText(ours, where, known)
    else throw unknownName(where, 'input', theirs, model.inputs)
  }
  const missing = model.inputs.find(({ name }) => !Object.hasOwn(inputs, name))
  if (missing !== undefined && !model.takesTexts && !model.takesImages) {
    const text = `${where}: the pipeline does not set the input ${JSON.stringify(missing.name)} of the model.`
    throw new Misfit(text)
  }
  for (const [theirs, ours] of Object.entries(outputs)) {
    const made = model.outputs.find(({ name }) => name === theirs)
    if (made !== undefined) known.set(ours, { tensor: { ...made, name: ours }, by: where })
    else if (!model.takesTexts) throw unknownName(where, 'output', theirs, model.outputs)
  }
}

function addInput(
  wanted: TensorMetadata,
  ours: string,
  where: string,
  { takesImages }: StepTensors,
  known: Map<string, Known>,
): void {
  const before = known.get(ours)
  if (before === undefined) {
    known.set(ours, { tensor: { ...wanted, name: ours }, by: where })
    return
  }
  if (takesImages && before.tensor.datatype === 'BYTES') return
  if (!fits(before.tensor, wanted)) {
    const [name, needed] = [JSON.stringify(ours), typeText(wanted)]
    const text = `${where} needs ${name} as ${needed}, but it is ${typeText(before.tensor)} by ${before.by}.`
    throw new Misfit(text)
  }
  known.set(ours, { ...before, tensor: narrowed(before.tensor, wanted) })
}

/** The texts of a task may have any shape. */
function addText(ours: string, where: string, known: Map<string, Known>): void {
  const text = { datatype: 'BYTES', shape: [], dimensions: [], anyShape: true }
  const before = known.get(ours)
  if (before === undefined) known.set(ours, { tensor: { name: ours, ...text }, by: where })
  else if (before.tensor.datatype !== 'BYTES') {
    const [name, type] = [JSON.stringify(ours), typeText(before.tensor)]
    throw new Misfit(`${where} needs ${name} as BYTES, but it is ${type} by ${before.by}.`)
  }
}

function declareOutput(declared: TensorMetadata, known: Map<string, Known>): void {
  const made = known.get(declared.name)
  if (made !== undefined && !fits(made.tensor, declared)) {
    const [name, type] = [JSON.stringify(declared.name), typeText(declared)]
    const text = `config.pbtxt declares ${name} as ${type}, but it is ${typeText(made.tensor)} by ${made.by}.`
    throw new Misfit(text)
  }
  // The model also knows labels and the names of dimensions.
  const tensor = made === undefined ? declared : narrowed(made.tensor, declared)
  known.set(declared.name, { tensor, by: 'config.pbtxt' })
}

function allOf(
  names: readonly string[],
  known: ReadonlyMap<string, Known>,
): readonly TensorMetadata[] | undefined {
  const found = names.flatMap((name) => known.get(name)?.tensor ?? [])
  return found.length === names.length ? found : undefined
}

function unknownName(
  where: string,
  kind: 'input' | 'output',
  name: string,
  tensors: readonly TensorMetadata[],
): Misfit {
  const known = namesText(tensors.map((tensor) => tensor.name))
  return new Misfit(
    `${where}: the model has no ${kind} ${JSON.stringify(name)}. Its ${kind}s are: ${known}.`,
  )
}
