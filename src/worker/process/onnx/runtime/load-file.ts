/** Loads a model file into onnxruntime, with tensors in place of the maps that it would return. */
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
// The same binding as in `session.ts`.
import { binding } from 'onnxruntime-node/dist/binding.js'
import type { Binding } from 'onnxruntime-node/dist/binding.js'
import { messageOf } from '../../../../errors.ts'
import type { OutputPlan } from '../graph/output-plan.ts'
import { cleanMessage } from './runtime-errors.ts'

type SessionOptions = InferenceSession.SessionOptions

/**
 * Loads the rewritten model if the plan has one, otherwise the file. If onnxruntime rejects the
 * rewritten model, the file is loaded, and its maps are not served.
 * @throws Error of onnxruntime about the file
 */
export function loadFile(
  file: string,
  plan: OutputPlan,
  options: SessionOptions,
): Binding.InferenceSession {
  return loadRewritten(file, plan, options) ?? loadOriginal(file, options)
}

function loadRewritten(
  file: string,
  plan: OutputPlan,
  options: SessionOptions,
): Binding.InferenceSession | undefined {
  const bytes = plan.rewrite()
  if (bytes === undefined) return undefined
  const session = new binding.InferenceSession()
  try {
    const { buffer, byteOffset, length } = bytes
    session.loadModel(buffer, byteOffset, length, withDataFolder(options, path.dirname(file)))
    return session
  } catch (error) {
    const reason = cleanMessage(messageOf(error), path.dirname(file))
    console.log(`The maps of the model cannot be served as tensors: ${reason}`)
    return undefined
  }
}

function loadOriginal(file: string, options: SessionOptions): Binding.InferenceSession {
  const session = new binding.InferenceSession()
  session.loadModel(file, options)
  return session
}

/** A model in memory has no folder, so onnxruntime is told where its external weights are. */
function withDataFolder(options: SessionOptions, folder: string): SessionOptions {
  const { extra = {} } = options
  const own = 'session' in extra && typeof extra['session'] === 'object' ? extra['session'] : {}
  const session = { ...own, model_external_initializers_file_folder_path: folder }
  return { ...options, extra: { ...extra, session } }
}
