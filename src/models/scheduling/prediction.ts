import { largeBuffers } from '../../buffer-pool.ts'
import { collect } from '../../worker/host/response-stream.ts'
import type { ResponseStream } from '../../worker/host/response-stream.ts'
import type { WireHeader, WirePrediction } from '../../worker/wire/messages.ts'
import type { Batch, RequestTiming } from './request-timing.ts'

export type { Batch, RequestTiming, ResponseStream }
export { collect }

/**
 * Receives a function that cancels an accepted request, for when its client disconnects, and the
 * record of its times, which is complete when the request has its response or its error.
 */
export type OnAccepted = (cancel: () => void, timing: RequestTiming) => void

/** The response of a model. The receiver must call {@link release} after the body was sent. */
export class Prediction {
  readonly status: number
  /** Reason phrase of the status; empty for the usual one. */
  readonly reason: string
  readonly contentType: string
  readonly headers: readonly WireHeader[]
  readonly body: Buffer
  /** The chunks of a streamed response, which has no body; absent for others. */
  readonly stream: ResponseStream | undefined
  /** Whether the memory of the request's bodies was released: nobody may read them any more. */
  readonly hasReleasedRequest: boolean

  constructor(wire: WirePrediction, hasReleasedRequest: boolean, stream?: ResponseStream) {
    this.status = wire.status
    this.reason = wire.reason
    this.contentType = wire.contentType
    this.headers = wire.headers
    this.body = wire.body
    this.stream = stream
    this.hasReleasedRequest = hasReleasedRequest
  }

  /** Bytes of the body, so far if it is streamed. */
  get bytes(): number {
    return this.stream?.bytes ?? this.body.length
  }

  /** Makes the memory of the body available to the next large body. */
  release(): void {
    largeBuffers.give(this.body)
  }
}
