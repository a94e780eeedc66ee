/** Collects the metadata of a loaded model from its session, its files and the worker's options. */
import path from 'node:path'
import { env } from 'onnxruntime-node'
import { ServerError } from '../../../errors.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'
import type { LoadContext, WorkerOptions } from '../handler.ts'
import { planClasses } from './image/classes.ts'
import { readLabels } from './labels/labels.ts'
import { labelOutputs } from './labels/output-labels.ts'
import type { OnnxSession } from './runtime/session.ts'
import { columnsOf } from './table-columns.ts'
import type { ModelMetadata, TensorSpec } from './tensors/metadata.ts'

/** Version of a model whose files set none. */
const FIRST_VERSION = '1.0'
export const IMAGE_HANDLER = 'image'

export async function metadataOf(
  session: OnnxSession,
  files: ModelFiles,
  context: LoadContext,
): Promise<ModelMetadata> {
  const { inputs, notServed, providers } = session
  const { modelVersion, maxBatchSize, hasBatchDimension } = context.options
  const labels = await labelsOf(files, context.options, session.outputs)
  const handler =
    (context.handler || files.settings.handler) === IMAGE_HANDLER ? IMAGE_HANDLER : 'onnx'
  const task = files.settings.task?.type
  if (task !== undefined && handler !== IMAGE_HANDLER) {
    throw new ServerError('InvalidModelException', 'model.json: "task" needs the handler "image".')
  }
  const isClassifier = task === undefined || task === 'classification'
  const outputs = handler === IMAGE_HANDLER ? session.outputs : labelled(session, files, labels)
  const classes =
    handler === IMAGE_HANDLER && isClassifier
      ? planClasses(outputs, files.settings, labels)
      : undefined
  const batchable =
    hasBatchDimension &&
    inputs.length > 0 &&
    outputs.length > 0 &&
    [...inputs, ...outputs].every(isOpenInFront)
  return {
    name: context.modelName,
    handler,
    version: modelVersion || versionOf(files),
    runtime: { name: 'onnxruntime', version: env.versions.node ?? env.versions.common },
    providers,
    batchable,
    maxBatchSize: batchable ? maxBatchSize || (files.settings.maxBatchSize ?? 0) : 0,
    inputs,
    outputs,
    ...(task === undefined ? {} : { task }),
    ...(notServed.length === 0 ? {} : { notServed }),
    ...(labels === undefined ? {} : { labels }),
    ...(classes === undefined ? {} : { topK: classes.topK }),
    ...columnsOf(inputs, files.settings),
  }
}

/** Labels that no setting names are used only if a dimension of an output can be their number. */
async function labelsOf(
  files: ModelFiles,
  { labels: fallback, root }: WorkerOptions,
  outputs: readonly TensorSpec[],
): Promise<readonly string[] | undefined> {
  const labels = await readLabels(files, fallback, root || undefined)
  const { labels: named = fallback, task } = files.settings
  if (labels === undefined || named !== '' || task !== undefined) return labels
  const canCount = ({ shape }: TensorSpec): boolean =>
    shape.slice(1).some((size) => size === labels.length || size < 0)
  return outputs.some(canCount) ? labels : undefined
}

/** Only labels of `model.json` name the classes of all outputs; Triton's belong to one output. */
function labelled(
  { outputs, zipMaps }: OnnxSession,
  { onnxFile: file = '', settings }: ModelFiles,
  labels: readonly string[] | undefined,
): readonly TensorSpec[] {
  const own = settings.labels === undefined ? undefined : labels
  return labelOutputs({ file, outputs, zipMaps, settings, labels: own })
}

function isOpenInFront(spec: TensorSpec): boolean {
  return (spec.shape[0] ?? 0) < 0
}

/** The version in the settings or the manifest, otherwise the folder's name if it is a number. */
function versionOf({ settings, manifest, folder }: ModelFiles): string {
  const stated = settings.version ?? manifest?.model?.modelVersion
  if (stated !== undefined) return String(stated)
  const name = path.basename(folder)
  return /^\d+$/.test(name) ? name : FIRST_VERSION
}
