/** A model version as Triton's `ModelConfig` describes models, with the names and the default values of its JSON. */
import { asModelMetadata } from '../model-metadata.ts'
import type { TensorMetadata } from '../model-metadata.ts'
import type { ModelVersion } from '../model-version.ts'
import type { TensorReshape } from '../sources/config-pbtxt/tensor-reshapes.ts'

/** What {@link modelConfig} returns; members that onnxd has nothing for are left out. */
export type ModelConfigJson = Readonly<Record<string, unknown>>

/**
 * The configuration of a version. `max_batch_size` above 0 means that the first dimension of every tensor is
 * the batch, which `dims` then leave out.
 */
export function modelConfig(model: ModelVersion, gpus: number): ModelConfigJson {
  const metadata = asModelMetadata(model.metadata)
  const { inputs = [], outputs = [] } = metadata ?? {}
  const { settings, name, prepared } = model
  const { reshapes } = prepared
  const isOpenInFront = [...inputs, ...outputs].every(({ shape }) => shape[0] === -1)
  const maxBatchSize = isOpenInFront ? settings.maxBatchSize : 0
  const { batchSize, maxBatchDelayMs, joinBatches, priorityLevels, defaultPriorityLevel } = settings
  const triton = prepared.triton?.config
  const preferred = triton?.dynamic_batching?.preferred_batch_size ?? []
  const isBatching = batchSize > 1 || priorityLevels > 1
  return {
    name,
    platform: platformOf(model),
    backend: metadata?.runtime.name ?? prepared.runtime,
    version_policy: triton?.version_policy ?? { specific: { versions: [model.version] } },
    max_batch_size: maxBatchSize,
    input: inputs.map((spec) => ({
      ...tensorConfig(spec, maxBatchSize > 0, reshapes.inputs),
      format: 'FORMAT_NONE',
      allow_ragged_batch: false,
      optional: false,
    })),
    output: outputs.map((spec) => ({
      ...tensorConfig(spec, maxBatchSize > 0, reshapes.outputs),
      label_filename: prepared.settings.labels ?? '',
    })),
    ...(isBatching && {
      dynamic_batching: {
        preferred_batch_size: preferred.length > 0 ? preferred : [batchSize],
        max_queue_delay_microseconds:
          maxBatchDelayMs === 'auto' ? 0 : Math.round(maxBatchDelayMs * 1000),
        ...(priorityLevels > 1 && {
          priority_levels: priorityLevels,
          default_priority_level: defaultPriorityLevel,
        }),
      },
    }),
    instance_group: [
      { name, kind: gpus > 0 ? 'KIND_GPU' : 'KIND_CPU', count: model.wanted.min, gpus: [] },
    ],
    default_model_filename: prepared.settings.model ?? 'model.onnx',
    parameters: joinBatches === 'auto' ? {} : { joinBatches: { string_value: joinBatches } },
    model_transaction_policy: { decoupled: false },
  }
}

/** As Triton calls what runs a model; a handler of the model's own is called after its runtime. */
export function platformOf(model: ModelVersion): string {
  return asModelMetadata(model.metadata) === undefined ? model.prepared.runtime : 'onnxruntime_onnx'
}

function tensorConfig(
  { name, datatype, shape }: TensorMetadata,
  isBatched: boolean,
  reshapes: readonly TensorReshape[],
) {
  const reshape = reshapes.find((one) => one.name === name)
  return {
    name,
    data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`,
    dims: isBatched ? shape.slice(1) : shape,
    ...(reshape !== undefined && { reshape: { shape: reshape.shape } }),
    is_shape_tensor: false,
  }
}
