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
  const folder = path.dirname(file)
  const bytes = plan.rewrite()
  if (bytes === undefined) return load((session) => session.loadModel(file, options))
  const { buffer, byteOffset, length } = bytes
  try {
    return load((session) =>
      session.loadModel(buffer, byteOffset, length, withDataFolder(options, folder)),
    )
  } catch (error) {
    const original = load((session) => session.loadModel(file, options))
    const reason = cleanMessage(messageOf(error), folder)
    console.log(`The maps of the model cannot be served as tensors: ${reason}`)
    return original
  }
}

function load(fill: (session: Binding.InferenceSession) => void): Binding.InferenceSession {
  const session = new binding.InferenceSession()
  fill(session)
  return session
}

/** A model in memory has no folder, so onnxruntime is told where its external weights are. */
function withDataFolder(options: SessionOptions, folder: string): SessionOptions {
  const { extra = {} } = options
  const own = 'session' in extra && typeof extra['session'] === 'object' ? extra['session'] : {}
  const session = { ...own, model_external_initializers_file_folder_path: folder }
  return { ...options, extra: { ...extra, session } }
}
