/** Folders of pipelines: `pipeline` of `model.json`, and ensembles of Triton. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** A step, as in `model.json`. */
export interface StepSource {
  readonly model: string
  readonly version?: string
  readonly inputs: Readonly<Record<string, string>>
  readonly outputs: Readonly<Record<string, string>>
}

/** A tensor of the `config.pbtxt` of an ensemble. */
export interface DeclaredSource {
  readonly name: string
  /** Without `TYPE_`. */
  readonly type: string
  readonly dims: readonly number[]
}

/** Writes a model whose `model.json` has the pipeline, and returns its folder. */
export function writePipeline(
  parent: string,
  name: string,
  steps: readonly StepSource[],
  settings: { readonly outputs?: readonly string[] } = {},
  others: object = {},
): string {
  const folder = path.join(parent, name)
  mkdirSync(folder, { recursive: true })
  const pipeline = { steps, ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify({ pipeline, ...others }))
  return folder
}

/** Writes an ensemble in the layout of Triton: `config.pbtxt` and an empty folder `1`. */
export function writeEnsemble(
  parent: string,
  name: string,
  steps: readonly StepSource[],
  tensors: {
    readonly inputs: readonly DeclaredSource[]
    readonly outputs: readonly DeclaredSource[]
  },
  more = 'max_batch_size: 8',
): string {
  const folder = path.join(parent, name)
  mkdirSync(path.join(folder, '1'), { recursive: true })
  const map = (field: string, entries: Readonly<Record<string, string>>): string =>
    Object.entries(entries)
      .map(([key, value]) => `${field} { key: "${key}" value: "${value}" }`)
      .join('\n')
  const texts = steps.map(
    ({ model, version = '-1', inputs, outputs }) =>
      `step { model_name: "${model}" model_version: ${version}
${map('input_map', inputs)}
${map('output_map', outputs)} }`,
  )
  const list = (kind: string, all: readonly DeclaredSource[]): string =>
    all
      .map(
        (one) =>
          `${kind} { name: "${one.name}" data_type: TYPE_${one.type} dims: [ ${one.dims.join(', ')} ] }`,
      )
      .join('\n')
  const config = `name: "${name}"
platform: "ensemble"
${more}
${list('input', tensors.inputs)}
${list('output', tensors.outputs)}
ensemble_scheduling { ${texts.join('\n')} }`
  writeFileSync(path.join(folder, 'config.pbtxt'), config)
  return folder
}
