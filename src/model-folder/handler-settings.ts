/** The settings of `model.json` about custom handlers. */
import { Type } from '@sinclair/typebox'

/** Members of `model.json`. */
export const HANDLER_PROPERTIES = {
  handlerModel: Type.Optional(
    Type.Boolean({
      description:
        'Load the `.onnx` file for a custom handler, as `context.model`. Default: true. `false` is for a handler that loads it itself.',
    }),
  ),
}
