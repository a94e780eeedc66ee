/** Models whose inputs are columns, and requests with tables for them. */
import type { Datatype } from '../../src/contract/datatypes.ts'
import { readHeaders } from '../../src/worker/process/onnx/headers.ts'
import { ProtocolCodec } from '../../src/worker/process/onnx/oip/codec.ts'
import { TensorCodec } from '../../src/worker/process/onnx/predictions/codec.ts'
import type { ModelMetadata } from '../../src/worker/process/onnx/tensors/metadata.ts'
import type { Tensor } from '../../src/worker/process/onnx/tensors/tensor.ts'
import type { ModelSource } from './onnx-builder.ts'

export const TABLE_LIMITS = {
  maxResponseBytes: 64 * 1024 * 1024,
  maxJsonBytes: 16 * 1024 * 1024,
  maxJsonDepth: 100,
}

/** A graph that returns one input of shape `[N,1]` for each column, as `name_out`. */
export function columnsGraph(columns: Readonly<Record<string, Datatype>>): ModelSource {
  const entries = Object.entries(columns)
  return {
    inputs: entries.map(([name, type]) => ({ name, type, shape: ['N', 1] })),
    outputs: entries.map(([name, type]) => ({ name: `${name}_out`, type, shape: ['N', 1] })),
    nodes: entries.map(([name]) => ({
      operator: 'Identity',
      inputs: [name],
      outputs: [`${name}_out`],
    })),
  }
}

/** Metadata of a model with one input for each column. */
export function columnsModel(
  columns: Readonly<Record<string, Datatype>>,
  settings: Partial<ModelMetadata> = {},
): ModelMetadata {
  const specs = Object.entries(columns).map(([name, datatype]) => ({
    name,
    datatype,
    shape: [-1, 1],
    dimensions: ['N', 1],
  }))
  return modelOf(specs, settings)
}

/** Metadata of a model with the input `x` of shape `[N,width]`. */
export function matrixModel(
  datatype: Datatype,
  width: number,
  settings: Partial<ModelMetadata> = {},
): ModelMetadata {
  return modelOf([{ name: 'x', datatype, shape: [-1, width], dimensions: ['N', width] }], settings)
}

/** The tensors of a request to `/predictions`. */
export async function inputsOf(
  model: ModelMetadata,
  body: Buffer | string,
  contentType: string,
  limits = TABLE_LIMITS,
): Promise<readonly Tensor[]> {
  const codec = new TensorCodec(model, limits, new ProtocolCodec(model, limits))
  const value = Buffer.from(body)
  const parameters = [{ name: 'body', contentType: contentType.split(';', 1)[0] ?? '', value }]
  const headers = [['Content-Type', contentType]] as const
  const { inputs } = await codec.decode({ id: 'r', headers, parameters }, readHeaders(headers))
  return inputs
}

function modelOf(inputs: ModelMetadata['inputs'], settings: Partial<ModelMetadata>): ModelMetadata {
  return {
    name: 'm',
    handler: 'onnx',
    version: '1',
    runtime: { name: 'none', version: '' },
    providers: [],
    batchable: true,
    maxBatchSize: 0,
    inputs,
    outputs: inputs,
    ...settings,
  }
}
