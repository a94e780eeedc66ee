/** The inputs and outputs that the `config.pbtxt` of an ensemble declares. */
import { DATATYPES } from '../../contract/datatypes.ts'
import type { TensorMetadata } from '../model-metadata.ts'
import { MODEL_CONFIG_FILE } from '../sources/config-pbtxt/model-config.ts'
import type { ModelConfig, TensorConfig } from '../sources/config-pbtxt/model-config.ts'
import type { PreparedModel } from '../sources/prepare.ts'

/** Declared tensors; an empty list declares nothing. */
export interface DeclaredTensors {
  readonly inputs: readonly TensorMetadata[]
  readonly outputs: readonly TensorMetadata[]
  /** Maximum size of the batch dimension; 0 if the first dimension is no batch dimension. */
  readonly maxBatchSize: number
  /** Why a tensor cannot be declared so. */
  readonly problem?: string
}

/** Returns `undefined` for a pipeline of `model.json`, which declares no types. */
export function declaredTensors({
  triton,
  settingsFrom,
}: PreparedModel): DeclaredTensors | undefined {
  if (triton === undefined || settingsFrom.pipeline !== MODEL_CONFIG_FILE) return undefined
  const { input, output, max_batch_size: maxBatchSize = 0 } = triton.config
  const problem = [...input, ...output].map(problemOf).find((one) => one !== undefined)
  return {
    inputs: input.flatMap((tensor) => typeOf(tensor, triton.config)),
    outputs: output.flatMap((tensor) => typeOf(tensor, triton.config)),
    maxBatchSize,
    ...(problem !== undefined && { problem }),
  }
}

function typeOf(
  { name, data_type: type, dims }: TensorConfig,
  { max_batch_size: rows = 0 }: ModelConfig,
): TensorMetadata[] {
  if (name === undefined || type === undefined) return []
  const shape = rows > 0 ? [-1, ...dims] : [...dims]
  const dimensions = shape.map((size) => (size < 0 ? '' : size))
  return [{ name, datatype: datatypeOf(type), shape, dimensions }]
}

function problemOf({ name, data_type: type }: TensorConfig): string | undefined {
  if (name === undefined) return `${MODEL_CONFIG_FILE} declares a tensor without a name.`
  const where = `${MODEL_CONFIG_FILE} declares ${JSON.stringify(name)}`
  if (type === undefined) return `${where} without a data_type.`
  const datatype = datatypeOf(type)
  if (DATATYPES.some((known) => known === datatype)) return undefined
  return `${where} with the data_type ${type}, which onnxd cannot run.`
}

function datatypeOf(type: string): string {
  const name = type.replace('TYPE_', '')
  return name === 'STRING' ? 'BYTES' : name
}
