/** Records a request for a prediction and its response. */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Recorder, Reservation } from '../../models/recorder/recorder.ts'
import type { Prediction } from '../../models/scheduling/prediction.ts'
import type { Parameter } from '../../models/scheduling/queue/job.ts'
import type { RecordedDescription } from '../../recording/description.ts'
import { sentMethod } from '../http/request-target.ts'
import { Redaction } from './redaction.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent for a request that is not recorded. */
    recording: RequestRecording | undefined
  }
}

/** A client that sends `off` is not recorded: a replay must not overwrite what it reads. */
const RECORD_HEADER = 'onnxd-record'

/** A request that waits for its response. Its body is a copy, because its memory is reused. */
export class RequestRecording {
  readonly #recorder: Recorder
  readonly #reservation: Reservation
  readonly #model: ModelVersion
  readonly #body: readonly Buffer[]
  /** Content type of a body that was built anew. */
  readonly #contentType: string | undefined

  private constructor(
    recorder: Recorder,
    reservation: Reservation,
    model: ModelVersion,
    body: CopiedBody,
  ) {
    this.#recorder = recorder
    this.#reservation = reservation
    this.#model = model
    this.#body = body.pieces
    this.#contentType = body.contentType
  }

  /**
   * Copies the body of a request whose parameters are complete. Returns `undefined` if the request
   * is not recorded.
   */
  static begin(
    recorder: Recorder,
    model: ModelVersion,
    request: FastifyRequest,
    parameters: readonly Parameter[],
  ): RequestRecording | undefined {
    const isWanted = request.headers[RECORD_HEADER] !== 'off' && recorder.records(model.name)
    if (!isWanted) return undefined
    const body = bodyOf(request, parameters)
    const bytes = body.pieces.reduce((sum, { length }) => sum + length, 0)
    const reservation = recorder.reserve(bytes)
    if (reservation === undefined) return undefined
    const pieces = body.pieces.map((piece) => Buffer.from(piece))
    return new RequestRecording(recorder, reservation, model, { ...body, pieces })
  }

  /** The response was sent, or the client has left. The body of the response is copied. */
  end(request: FastifyRequest, status: number): void {
    const { prediction } = request
    const recorder = this.#recorder
    const requestBytes = this.#reservation.bytes
    const responseBytes = prediction?.bytes ?? 0
    // The chunks of a streamed response are not kept.
    const isWhole = prediction?.stream === undefined
    const fits = isWhole && recorder.fits(requestBytes + responseBytes)
    if (fits && !recorder.extend(this.#reservation, responseBytes)) return
    const response = fits && prediction !== undefined ? Buffer.from(prediction.body) : EMPTY
    const description = this.#describe(request, status, fits ? undefined : responseBytes)
    recorder.add({ description, request: this.#body, response }, this.#reservation)
  }

  #describe(
    request: FastifyRequest,
    status: number,
    omittedBytes: number | undefined,
  ): RecordedDescription {
    const { id, url, raw, routeOptions, receivedAt, prediction } = request
    const redaction = new Redaction(this.#recorder.redact)
    return {
      time: performance.timeOrigin + receivedAt,
      id,
      method: sentMethod(raw) ?? '',
      route: routeOptions.url ?? '',
      ...redaction.apply(this.#headersOf(raw.rawHeaders), url),
      model: this.#model.name,
      version: this.#model.version,
      status,
      ms: performance.now() - receivedAt,
      ...(prediction !== undefined && {
        response: {
          contentType: prediction.contentType || 'application/octet-stream',
          headers: responseHeaders(prediction, redaction),
          ...(omittedBytes !== undefined && { omittedBytes }),
        },
      }),
    }
  }

  #headersOf(rawHeaders: readonly string[]): [string, string][] {
    const headers: [string, string][] = []
    for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
      const name = rawHeaders[index] ?? ''
      const isReplaced = this.#contentType !== undefined && name.toLowerCase() === 'content-type'
      headers.push([name, (isReplaced ? this.#contentType : rawHeaders[index + 1]) ?? ''])
    }
    return headers
  }
}

const EMPTY = Buffer.alloc(0)

interface CopiedBody {
  readonly pieces: readonly Buffer[]
  readonly contentType?: string
}

/**
 * The bytes that the client sent. Those of a multipart form are gone when its parts are read, so an
 * equal form is written.
 */
function bodyOf(request: FastifyRequest, parameters: readonly Parameter[]): CopiedBody {
  if (!request.isMultipart()) {
    return { pieces: Buffer.isBuffer(request.body) ? [request.body] : [] }
  }
  const boundary = `onnxd-${randomUUID()}`
  const parts = parameters
    .slice(queryParameters(request))
    .flatMap(({ name, contentType, value }) => [
      Buffer.from(`--${boundary}\r\n${partHeaders(name, contentType)}\r\n\r\n`),
      value,
      Buffer.from('\r\n'),
    ])
  return {
    pieces: [...parts, Buffer.from(`--${boundary}--\r\n`)],
    contentType: `multipart/form-data; boundary=${boundary}`,
  }
}

/** Number of the parameters that come from the query, which stand before those of the form. */
function queryParameters({ url, routeOptions }: FastifyRequest): number {
  if (routeOptions.url?.startsWith('/predictions/') === true) return 0
  const start = url.indexOf('?')
  const pairs = start === -1 ? [] : url.slice(start + 1).split('&')
  return pairs.filter((pair) => pair !== '').length
}

/** Only a part with a file name keeps its content type. */
function partHeaders(name: string, contentType: string): string {
  const quoted = name.replaceAll(/[\r\n]/g, ' ').replaceAll(/["\\]/g, String.raw`\$&`)
  const disposition = `Content-Disposition: form-data; name="${quoted}"`
  return contentType === ''
    ? disposition
    : `${disposition}; filename="file"\r\nContent-Type: ${contentType}`
}

function responseHeaders(
  { headers }: Prediction,
  redaction: Redaction,
): RecordedDescription['headers'] {
  return headers.flatMap(([name, value]): [string, string][] =>
    redaction.isSecretHeader(name) ? [] : [[name, value]],
  )
}
