/**
 * The border between requests and tensors. The default codec speaks the tensor forms (JSON, Open Inference
 * Protocol, octets, form data); a handler such as the image handler wraps it and takes the requests it knows.
 */
import type { WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { Tensor } from './tensor.ts'

/** A request as tensors. A codec that needs to remember more extends it and narrows in its own `encode`. */
export interface Decoded {
  /** Id of the wire request; the prediction carries it back. */
  readonly id: string
  /** One tensor for each of the model's inputs, in the model's order; shapes are checked. */
  readonly inputs: readonly Tensor[]
  /** Outputs to compute, in the order the answer gives them; names are known to the model. */
  readonly outputNames: readonly string[]
}

/** Turns a request into tensors and the tensors that come back into an answer. */
export interface RequestCodec {
  /** @throws ServerError with status 4xx for whatever the client did wrong; nothing is run then. */
  decode(request: WireRequest): Decoded | Promise<Decoded>
  /**
   * `outputs` matches `decoded.outputNames` one to one; `decoded` came from this codec's own `decode`.
   * @throws ServerError when the outputs cannot be written in the form asked for.
   */
  encode(outputs: readonly Tensor[], decoded: Decoded): WirePrediction
}

/** Limits of a codec: the worker options of the same names. */
export interface CodecLimits {
  readonly maxResponseBytes: number
  readonly maxJsonBytes: number
  readonly maxJsonDepth: number
}
