/**
 * The border between requests and tensors. There is a codec for each dialect; a handler such as the image handler
 * wraps one and takes the requests it knows.
 */
import type { Dialect } from '../../../contract/internal-headers.ts'
import type { WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { RequestHeaders } from './headers.ts'
import type { Tensor } from './tensors/tensor.ts'

/** What the network is asked to compute. */
export interface Run {
  /** One tensor for each of the model's inputs, in the model's order; shapes are checked. */
  readonly inputs: readonly Tensor[]
  /** Outputs to compute, in the order the answer gives them; names are known to the model. */
  readonly outputNames: readonly string[]
}

/** A request as tensors, and how it is answered. */
export interface Decoded extends Run {
  /** Id of the wire request; the prediction carries it back. */
  readonly id: string
  /** Decides how an error looks. */
  readonly dialect: Dialect | undefined
  /**
   * `outputs` matches `outputNames` one to one.
   * @throws ServerError when the outputs cannot be written in the form asked for.
   */
  encode(outputs: readonly Tensor[]): WirePrediction
}

/** Turns requests into tensors. */
export interface RequestCodec {
  /**
   * `headers` are those of the request; its body is decoded already.
   * @throws ServerError with status 4xx for whatever the client did wrong; nothing is run then.
   */
  decode(request: WireRequest, headers: RequestHeaders): Decoded | Promise<Decoded>
}

/** Name of the parameter that holds a whole request body. */
export const BODY = 'body'

/** Limits of a codec: the worker options of the same names. */
export interface CodecLimits {
  readonly maxResponseBytes: number
  readonly maxJsonBytes: number
  readonly maxJsonDepth: number
}
