import { largeBuffers } from '../../buffer-pool.ts'
import type { WireHeader, WirePrediction } from '../../worker/wire/messages.ts'

/** Told how to cancel a request that was accepted: for when its client leaves. */
export type OnAccepted = (cancel: () => void) => void

/** What a model responded with. Whoever got it calls {@link release} when the body has been sent. */
export class Prediction {
  readonly status: number
  /** Reason phrase of the status; empty for the usual one. */
  readonly reason: string
  readonly contentType: string
  readonly headers: readonly WireHeader[]
  readonly body: Buffer
  /** Whether the memory of the request's bodies is in use again: nobody may read them any more. */
  readonly hasReleasedRequest: boolean

  constructor(wire: WirePrediction, hasReleasedRequest: boolean) {
    this.status = wire.status
    this.reason = wire.reason
    this.contentType = wire.contentType
    this.headers = wire.headers
    this.body = wire.body
    this.hasReleasedRequest = hasReleasedRequest
  }

  /** Lets the next large body use the memory of this one. */
  release(): void {
    largeBuffers.give(this.body)
  }
}
