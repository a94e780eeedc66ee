/** Recognises the class `OnnxHandler` of `onnxd/handler`, whichever copy a handler imports. */
import type { HandlerContext, HandlerRequest, Tensors } from '../../../../../types/handler.d.ts'

/** Marks the class and its own steps. */
const BUILT_IN = Symbol.for('onnxd.handler.built-in')

/** An instance of a class of a handler. */
export interface StepHandler {
  initialize(context: HandlerContext): unknown
  preprocess(request: HandlerRequest, context: HandlerContext): unknown
  infer(inputs: Tensors, request: HandlerRequest, context: HandlerContext): unknown
  postprocess(outputs: Tensors, request: HandlerRequest, context: HandlerContext): unknown
}

/** Whether a class extends `OnnxHandler`. */
export function isStepClass(handler: unknown): handler is new () => StepHandler {
  return typeof handler === 'function' && Reflect.get(handler, BUILT_IN) === true
}

/** Whether a step is that of `OnnxHandler`. */
export function isBuiltInStep(handler: StepHandler, name: keyof StepHandler): boolean {
  const step: unknown = Reflect.get(handler, name)
  return typeof step === 'function' && Reflect.get(step, BUILT_IN) === true
}
