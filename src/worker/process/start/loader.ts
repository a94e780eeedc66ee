/** Which handler serves a model: the built-in ones, or the model's own code. */
import { ServerError } from '../../../errors.ts'
import { BUILT_IN_HANDLERS, readModelFiles } from '../../../model-folder/files.ts'
import type { LoadContext, LoadedModel } from '../handler.ts'

/**
 * Loads the model that a load request names. Everything heavy is imported only by the models that
 * need it.
 * @param decodeInput Whether the model's own code gets JSON and text decoded.
 * @throws ServerError `HandlersNotAllowedException` before any code of a model is read.
 */
export async function loadModel(context: LoadContext, decodeInput: boolean): Promise<LoadedModel> {
  const handler = context.handler || (await handlerOfSettings(context))
  const chosen = { ...context, handler }
  if (BUILT_IN_HANDLERS.includes(handler)) {
    const { loadOnnxModel } = await import('../onnx/model.ts')
    return loadOnnxModel(chosen)
  }
  if (!context.options.allowHandlers) {
    throw new ServerError(
      'HandlersNotAllowedException',
      `The model brings code of its own (${handler}), and this server does not allow that.`,
    )
  }
  const { loadCustomModel } = await import('../custom/model.ts')
  return loadCustomModel(chosen, decodeInput)
}

async function handlerOfSettings({ modelPath, options }: LoadContext): Promise<string> {
  const { settings } = await readModelFiles(modelPath, undefined, options.root || undefined)
  return settings.handler ?? ''
}
