/** Describes a model version as Triton's `ModelConfig`, with the names and defaults of its JSON. */
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import { asHandlerMetadata } from '../model-metadata.ts'
import type { TensorMetadata } from '../model-metadata.ts'
import type { ModelVersion } from '../model-version.ts'
import type { TensorReshape } from '../sources/config-pbtxt/tensor-reshapes.ts'

/** Result of {@link modelConfig}. Members without a meaning in onnxd are left out. */
export type ModelConfigJson = Readonly<Record<string, unknown>>

/**
 * Returns the configuration of a version. If `max_batch_size` is above 0, the first dimension of
 * every tensor is the batch dimension, and `dims` leave it out.
 */
export function modelConfig(model: ModelVersion, gpus: number): ModelConfigJson {
  const metadata = asHandlerMetadata(model.metadata)
  const { inputs = [], outputs = [] } = metadata ?? {}
  const { settings, name, prepared } = model
  const { reshapes } = prepared
  const isOpenInFront = [...inputs, ...outputs].every(({ shape }) => shape[0] === -1)
  const maxBatchSize = isOpenInFront ? settings.maxBatchSize : 0
  const { batchSize, maxBatchDelayMs, joinBatches, priorityLevels, defaultPriorityLevel } = settings
  const triton = prepared.triton?.config
  const pipeline = pipelineOf(prepared)
  const preferred = triton?.dynamic_batching?.preferred_batch_size ?? []
  const isBatching = batchSize > 1 || priorityLevels > 1
  return {
    name,
    platform: platformOf(model),
    backend: pipeline === undefined ? (metadata?.runtime.name ?? prepared.runtime) : '',
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
    ...(pipeline === undefined
      ? { default_model_filename: prepared.settings.model ?? 'model.onnx' }
      : { ensemble_scheduling: { step: pipeline.steps.map(stepConfig) } }),
    parameters: joinBatches === 'auto' ? {} : { joinBatches: { string_value: joinBatches } },
    model_transaction_policy: { decoupled: false },
  }
}

/**
 * Returns Triton's name of the platform. A model with a custom handler has the name of its runtime.
 */
export function platformOf(model: ModelVersion): string {
  if (pipelineOf(model.prepared) !== undefined) return 'ensemble'
  return asHandlerMetadata(model.metadata) === undefined
    ? model.prepared.runtime
    : 'onnxruntime_onnx'
}

/** -1 is the version that a request without a version gets. Labels are no numbers either. */
function stepConfig({ model, version = '', inputs, outputs }: PipelineSettings['steps'][number]) {
  return {
    model_name: model,
    model_version: /^\d+$/.test(version) ? Number(version) : -1,
    input_map: inputs,
    output_map: outputs,
  }
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
