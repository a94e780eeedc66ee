/** What the access log says about one request of a stream. */
import type { ServerError } from '../../../errors.ts'
import type { RequestTimes } from '../../inference/request-times.ts'
import type { StreamedRequest } from '../transport/call-end.ts'
import { codeFor } from '../transport/status.ts'
import type { ScannedRequest } from './infer-scan.ts'

const NO_BYTES: Buffer = Buffer.alloc(0)
const UNREAD: ScannedRequest = {
  model: '',
  version: '',
  id: NO_BYTES,
  priority: undefined,
  timeoutUs: undefined,
  tensorsAt: 0,
}

export class StreamRecord {
  readonly receivedAt = performance.now()
  times: RequestTimes | undefined
  readonly #bytesIn: number
  #scanned = UNREAD

  constructor(bytesIn: number) {
    this.#bytesIn = bytesIn
  }

  /** Empty for a message that is not valid. */
  get scanned(): ScannedRequest {
    return this.#scanned
  }

  set scanned(scanned: ScannedRequest) {
    // The memory of the message is reused once it is answered.
    this.#scanned = { ...scanned, id: Buffer.from(scanned.id) }
  }

  /** The request has a response, or failed. */
  finished(error: ServerError | undefined, bytesOut: number): StreamedRequest {
    const { statusCode: status = 200, type: errorType } = error ?? {}
    return {
      messageId: this.#scanned.id.toString('utf8', 0, 128),
      end: { status, code: codeFor(status), errorType },
      times: this.times,
      ms: performance.now() - this.receivedAt,
      bytesIn: this.#bytesIn,
      bytesOut,
    }
  }
}
