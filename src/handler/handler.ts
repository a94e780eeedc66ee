/**
 * The module `onnxd/handler`. It depends on nothing else, so that handlers can import it from
 * anywhere; the worker recognises the class by a symbol.
 */
import type {
  HandlerContext,
  HandlerRequest,
  HandlerResponse,
  Tensor,
  TensorDataOf,
  TensorType,
  Tensors,
} from '../../types/handler.d.ts'

/** Marks the class and its own steps. */
const BUILT_IN = Symbol.for('onnxd.handler.built-in')

/** The built-in handler as a class, whose steps can be overridden one by one. */
export class OnnxHandler {
  static readonly [BUILT_IN] = true

  initialize(_context: HandlerContext): void | Promise<void> {}

  preprocess(
    request: HandlerRequest,
    _context: HandlerContext,
  ): Tensors | HandlerRequest | Promise<Tensors | HandlerRequest> {
    return request
  }

  infer(
    inputs: Tensors,
    _request: HandlerRequest,
    context: HandlerContext,
  ): Tensors | Promise<Tensors> {
    return context.model.run(inputs)
  }

  postprocess(
    outputs: Tensors,
    request: HandlerRequest,
    _context: HandlerContext,
  ): Promise<HandlerResponse> {
    return request.respond(outputs)
  }
}

// Requests share runs only where the step was not overridden.
for (const name of ['preprocess', 'infer', 'postprocess'] as const) {
  Object.defineProperty(OnnxHandler.prototype[name], BUILT_IN, { value: true })
}

/** A handler throws this error to choose the status and the text of the response. */
export class PredictionException extends Error {
  override readonly name = 'PredictionException'
  readonly code: number

  constructor(message: string, code = 500) {
    super(message)
    this.code = code
  }
}

/** Creates a tensor. Its type keeps the sizes of `dims`. */
export function tensor<const Type extends TensorType, const Dims extends readonly number[]>(
  type: Type,
  data: TensorDataOf[Type],
  dims: Dims,
): Tensor<Type, Dims> {
  return { type, data, dims }
}
