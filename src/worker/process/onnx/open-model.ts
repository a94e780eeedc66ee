/** Loads an ONNX model with everything that its files and settings say about it. */
import { ServerError } from '../../../errors.ts'
import { readModelFiles } from '../../../model-folder/files.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import type { LoadContext, WorkerOptions } from '../handler.ts'
import { judgeBatching } from './batching/verdict.ts'
import type { BatchVerdict } from './batching/verdict.ts'
import { codecsOf } from './codecs/codecs.ts'
import type { Codecs } from './codecs/codecs.ts'
import { metadataOf } from './model-metadata.ts'
import { MappedWeights } from './runtime/mapped-weights.ts'
import { OnnxSession } from './runtime/session.ts'
import { warmUp } from './runtime/warm-up.ts'
import type { ModelMetadata } from './tensors/metadata.ts'

/** A model in memory. */
export interface OpenModel {
  readonly session: OnnxSession
  readonly files: ModelFiles
  readonly metadata: ModelMetadata
  readonly codecs: Codecs
  /** Whether requests may share runs. */
  readonly verdict: BatchVerdict
}

/**
 * Reads the files at the path of a model.
 * @param handler Overrides the handler of the files, unless it is empty.
 * @throws ServerError `InvalidModelException`.
 */
export async function readFiles(
  { modelPath, options }: LoadContext,
  handler: string,
): Promise<ModelFiles> {
  try {
    return await readModelFiles(modelPath, handler || undefined, options.root || undefined)
  } catch (cause) {
    if (cause instanceof ServerError) throw cause
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    const problem = `The files of the model cannot be read${reason}.`
    throw new ServerError('InvalidModelException', problem, { cause })
  }
}

/**
 * Loads the `.onnx` file of a model, and runs it once if its settings say so.
 * @throws ServerError `InvalidModelException`, or `InsufficientMemoryException` when memory ran
 * out.
 */
export async function openModel(context: LoadContext, files: ModelFiles): Promise<OpenModel> {
  const { options } = context
  if (files.onnxFile === undefined) {
    throw new ServerError('InvalidModelException', "The model's folder has no .onnx file.")
  }
  const mapped = MappedWeights.read(options.weights)
  const session = OnnxSession.load(files.onnxFile, files.settings, context, mapped)
  try {
    const metadata = await metadataOf(session, files, context)
    // Before the warm-up run, which may take long: damaged files end the load here.
    const { codecs, text } = await codecsOf(session, metadata, files, options)
    if (files.settings.warmUp ?? options.warmUp) warmUp(session)
    const verdict = verdictOn(files.onnxFile, session, files.settings, options)
    const described = text === undefined ? metadata : { ...metadata, text }
    return { session, files, metadata: described, codecs, verdict }
  } catch (error) {
    session.close()
    throw error
  }
}

function verdictOn(
  file: string,
  session: OnnxSession,
  settings: ModelSettings,
  { joinBatches, hasBatchDimension }: WorkerOptions,
): BatchVerdict {
  if (!hasBatchDimension) {
    const reason = 'The configuration of the model disables batching (max_batch_size is 0).'
    return { joins: false, reason, needsTrial: false }
  }
  const setting = joinBatches === '' ? (settings.joinBatches ?? 'auto') : joinBatches
  return judgeBatching(file, session.inputs, setting, session.outputs)
}
