import type { RequestTimes } from '../../inference/request-times.ts'
import type { Code } from './status.ts'

/** How a call ended. */
export interface CallEnd {
  /** The HTTP status of the same result over REST. */
  readonly status: number
  readonly code: Code
  readonly errorType: string | undefined
}

/** A request of a stream that has its response. */
export interface StreamedRequest {
  /** The client's id of it. */
  readonly messageId: string
  readonly end: CallEnd
  readonly times: RequestTimes | undefined
  readonly ms: number
  readonly bytesIn: number
  readonly bytesOut: number
}
