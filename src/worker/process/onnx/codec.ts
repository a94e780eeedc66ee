/**
 * The interface between requests and tensors. Each REST dialect has a codec. A handler such as the
 * image handler wraps a codec and decodes the requests that it knows itself.
 */
import type { Dialect } from '../../../contract/internal-headers.ts'
import type { WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { RequestHeaders } from './headers.ts'
import type { Tensor } from './tensors/tensor.ts'

/** What the model has to compute for a request. */
export interface Run {
  /** One tensor for each input of the model, in the model's order. Shapes are checked. */
  readonly inputs: readonly Tensor[]
  /** Outputs to compute, in the order of the response. The model has outputs with these names. */
  readonly outputNames: readonly string[]
}

/** A request as tensors, and a function that encodes its response. */
export interface Decoded extends Run {
  /** Id of the wire request, which its prediction repeats. */
  readonly id: string
  /** Decides the format of errors. */
  readonly dialect: Dialect | undefined
  /**
   * Encodes the response. `outputs` has one tensor for each of `outputNames`. Only responses that
   * are images are encoded asynchronously.
   * @throws ServerError when the outputs cannot be written in the requested form.
   */
  encode(outputs: readonly Tensor[]): WirePrediction | Promise<WirePrediction>
}

/** Runs the model, as `OnnxSession` does. */
export type RunModel = (
  inputs: readonly Tensor[],
  outputNames: readonly string[],
) => readonly Tensor[]

/** A request that runs the model itself, perhaps several times. */
export interface OwnRuns {
  readonly id: string
  readonly dialect: Dialect | undefined
  /**
   * Requests of a batch may share runs, so the model runs after the first pause.
   * @throws ServerError when a run fails or its outputs cannot be written.
   */
  perform(run: RunModel): Promise<WirePrediction>
}

/** Decodes requests into tensors, or into another form that a handler knows. */
export interface RequestCodec<Result = Decoded> {
  /**
   * Decodes one request.
   * @param request The request; its body is already decompressed.
   * @param headers The headers of the request.
   * @throws ServerError with status 4xx for every client error; the model does not run then.
   */
  decode(request: WireRequest, headers: RequestHeaders): Result | Promise<Result>
}

/** Name of the parameter that holds a whole request body. */
export const BODY = 'body'

/** Limits of a codec. They are the worker options with the same names. */
export interface CodecLimits {
  readonly maxResponseBytes: number
  readonly maxJsonBytes: number
  readonly maxJsonDepth: number
}
