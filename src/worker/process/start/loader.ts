/** Chooses the handler that serves a model: a built-in handler or a custom handler. */
import { ServerError } from '../../../errors.ts'
import { BUILT_IN_HANDLERS, readModelFiles } from '../../../model-folder/files.ts'
import { PIPELINE_HANDLER } from '../../../model-folder/pipeline.ts'
import type { LoadContext, LoadedModel } from '../handler.ts'

/**
 * Loads the model that a load request names. Large modules are imported only for the models that
 * need them.
 * @param decodeInput Whether a custom handler gets JSON and text decoded.
 * @throws ServerError `HandlersNotAllowedException` when custom handlers are not allowed, before
 * any code of the model is read.
 */
export async function loadModel(context: LoadContext, decodeInput: boolean): Promise<LoadedModel> {
  const handler = context.handler || (await handlerOfSettings(context))
  const chosen = { ...context, handler }
  const { pipeline } = context.options
  if (pipeline !== null && handler === PIPELINE_HANDLER) {
    const { loadPipeline } = await import('../pipeline/model.ts')
    return loadPipeline(pipeline, chosen)
  }
  if (BUILT_IN_HANDLERS.includes(handler)) {
    const { loadOnnxModel } = await import('../onnx/model.ts')
    return loadOnnxModel(chosen)
  }
  if (!context.options.allowHandlers) {
    throw new ServerError(
      'HandlersNotAllowedException',
      `The model has a custom handler (${handler}), and this server does not allow custom handlers.`,
    )
  }
  const { loadCustomModel } = await import('../custom/model.ts')
  return loadCustomModel(chosen, decodeInput)
}

/**
 * Imports the code of a built-in handler, so that a later load takes less time. Does nothing for
 * another handler, or an empty name: the model may then have a custom handler, which needs 25 MiB
 * less. An error is not reported here: the load meets it again, and reports it.
 */
export async function importAhead(handler: string): Promise<void> {
  if (handler === '' || !BUILT_IN_HANDLERS.includes(handler)) return
  try {
    await import('../onnx/model.ts')
    const { prepareRuntime } = await import('../onnx/runtime/prepare-runtime.ts')
    prepareRuntime()
  } catch {
    // For example, the native library does not fit this system.
  }
}

async function handlerOfSettings({ modelPath, options }: LoadContext): Promise<string> {
  const { settings } = await readModelFiles(modelPath, undefined, options.root || undefined)
  return settings.handler ?? ''
}
