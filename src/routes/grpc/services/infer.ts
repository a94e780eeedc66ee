/** `ModelInfer` and `ModelStreamInfer`. The worker reads the message and writes the response. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { memoryOf } from '../../../buffer-pool.ts'
import { DIALECT_HEADER } from '../../../contract/internal-headers.ts'
import { ServerError } from '../../../errors.ts'
import { readsMessages } from '../../../models/model-metadata.ts'
import type { PredictOptions } from '../../../models/scheduling/predict-options.ts'
import type { Prediction } from '../../../models/scheduling/prediction.ts'
import type { Header } from '../../../models/scheduling/queue/job.ts'
import { checkModel } from '../../http/access/caller.ts'
import { chooseVersion } from '../../inference/choose-version.ts'
import { predictOptionsOf } from '../../inference/predict-options.ts'
import { RequestTimes } from '../../inference/request-times.ts'
import { findModel } from '../../kserve/v2-models.ts'
import type { RouteContext } from '../../route-context.ts'
import type { Call } from '../transport/call.ts'
import { asServerError, errorOfResponse, unimplemented } from '../transport/status.ts'
import { scanInferRequest } from './infer-scan.ts'
import type { ScannedRequest } from './infer-scan.ts'
import { StreamRecord } from './stream-record.ts'

/** The worker puts the bytes behind this many bytes of the body at an aligned address. */
const HEAD_LENGTH_HEADER = 'Inference-Header-Content-Length'
const CONTENT_TYPE = 'application/grpc'
/** Keys of sticky requests are in the metadata only. */
const NO_BODY = Buffer.alloc(0)
/** Requests of one stream at the same time. The server reads more of them after responses. */
const MAX_IN_STREAM = 64
const STOPPING = 'The server is stopping. Open a new stream to another server.'

/** Field numbers of `ModelStreamInferResponse` and `ModelInferResponse`. */
const STREAM_RESPONSE = { error: 1, response: 2 } as const
const RESPONSE = { model: 1, version: 2, id: 3 } as const

/** A request and what is known about it. */
interface PredictedRequest {
  /** On the clock of `performance.now()`. */
  readonly receivedAt: number
  readonly scanned: ScannedRequest
  /** Absent until its model is found. */
  times: RequestTimes | undefined
}

/** Receives what cancels a request. */
type OnAccepted = (cancel: () => void) => void

/** Handles `ModelInfer`. */
export function inferOne(call: Call, message: Buffer, context: RouteContext): void {
  const { receivedAt } = call
  const scanned = scanInferRequest(message)
  const request: PredictedRequest = { receivedAt, scanned, times: undefined }
  predict(call, message, request, context, (cancel) => {
    call.times = request.times
    call.onLeave = cancel
    if (call.end !== undefined) cancel()
  }).then(
    (prediction) => {
      try {
        if (prediction.hasReleasedRequest) call.release()
        call.hold(memoryOf(prediction.body))
      } catch (error) {
        return call.fail(error)
      }
      call.respond(prediction.body, (isSent) => {
        if (isSent) prediction.release()
      })
    },
    (error: unknown) => {
      call.times = request.times
      call.fail(error)
    },
  )
}

/** Handles `ModelStreamInfer`: each message is a request, and has one response. */
export function inferStream(call: Call, context: RouteContext): void {
  const running = new Set<() => void>()
  let inFlight = 0
  let hasEnded = false
  const endIfDone = (): void => {
    if (inFlight > 0 || !hasEnded) return
    if (isDraining) call.fail(new ServerError('ServiceUnavailableException', STOPPING))
    else call.succeed()
  }
  let isDraining = false
  call.onLeave = () => {
    for (const cancel of running) cancel()
  }
  call.onDrain = () => {
    isDraining = !hasEnded
    hasEnded = true
    call.stream.pause()
    endIfDone()
  }
  const settle = (): void => {
    inFlight -= 1
    if (inFlight < MAX_IN_STREAM && !isDraining) call.stream.resume()
    endIfDone()
  }
  call.read(
    (message) => {
      inFlight += 1
      if (inFlight >= MAX_IN_STREAM) call.stream.pause()
      void answerInStream(call, message, context, running).then(settle)
    },
    () => {
      hasEnded = true
      endIfDone()
    },
  )
}

/** Resolves when the connection has taken the response to one request of a stream. */
async function answerInStream(
  call: Call,
  message: Buffer,
  context: RouteContext,
  running: Set<() => void>,
): Promise<void> {
  const record = new StreamRecord(message.length)
  let cancelOne: (() => void) | undefined
  const held = memoryOf(message)
  try {
    record.scanned = scanInferRequest(message)
    const prediction = await predict(call, message, record, context, (cancel) => {
      cancelOne = cancel
      running.add(cancel)
      if (call.end !== undefined) cancel()
    })
    const size = memoryOf(prediction.body)
    call.hold(size)
    const lead = leadOf(STREAM_RESPONSE.response, prediction.body.length)
    call.onRecord?.(record.finished(undefined, prediction.body.length))
    const isSent = await sent(call, prediction.body, lead)
    if (isSent) prediction.release()
    call.release(size)
  } catch (thrown) {
    const error = asServerError(thrown)
    call.onRecord?.(record.finished(error, 0))
    await sent(call, errorMessage(error, record.scanned))
  } finally {
    call.release(held)
    if (cancelOne !== undefined) running.delete(cancelOne)
  }
}

function sent(call: Call, message: Uint8Array, lead?: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => call.send(message, lead, resolve))
}

/** @throws ServerError of the server or the worker. */
async function predict(
  call: Call,
  message: Buffer,
  request: PredictedRequest,
  { registry }: RouteContext,
  onAccepted: OnAccepted,
): Promise<Prediction> {
  const { scanned, receivedAt } = request
  checkModel(call, scanned.model)
  const routed = { headers: call.headers, query: {}, body: NO_BODY, chosenVersion: undefined }
  const version = scanned.version || chooseVersion(registry, scanned.model, routed)
  const model = findModel(registry, scanned.model, version)
  if (model.prepared.hasCode && !readsMessages(model.metadata)) {
    throw unimplemented(
      `Model ${model.name} has a custom handler, which does not read messages of gRPC. Use REST.`,
    )
  }
  const times = new RequestTimes(model, { receivedAt, headers: call.headers })
  request.times = times
  try {
    const prediction = await model.predict(
      headersFor(call, scanned, message),
      [{ name: 'body', contentType: CONTENT_TYPE, value: message }],
      optionsOf(call, scanned),
      (cancel, timing) => {
        times.accepted = timing
        onAccepted(cancel)
      },
    )
    if (prediction.status === 200) return prediction
    throw errorOfResponse(prediction.status, prediction.body)
  } catch (error) {
    const isLate = call.deadline !== undefined && performance.now() >= call.deadline
    throw isLate ? call.late() : error
  }
}

function headersFor(call: Call, { tensorsAt }: ScannedRequest, message: Buffer): Header[] {
  const headers: Header[] = [...(call.trace?.headers ?? []), [DIALECT_HEADER, 'grpc']]
  // Smaller ones travel over the socket, where nothing is aligned.
  if (memoryOf(message) > message.length || message.length >= 64 * 1024)
    headers.push([HEAD_LENGTH_HEADER, String(tensorsAt)])
  return headers
}

/** A header overrides a parameter of the request, so that a gateway can set it. */
function optionsOf(call: Call, { priority, timeoutUs }: ScannedRequest): PredictOptions {
  const fromHeaders = predictOptionsOf(call, [], undefined)
  const ownMs = timeoutUs === undefined ? undefined : timeoutUs / 1000
  const timeoutMs = fromHeaders.timeoutMs ?? ownMs
  const leftMs = call.deadline === undefined ? undefined : call.deadline - performance.now()
  if (leftMs !== undefined && leftMs <= 0) throw call.late()
  const limits = [timeoutMs, leftMs].filter((ms) => ms !== undefined && ms > 0)
  return {
    requestId: call.id,
    priority: fromHeaders.priority ?? priority,
    timeoutMs: limits.length === 0 ? timeoutMs : Math.min(...limits.map(Number)),
  }
}

/** A `ModelStreamInferResponse` with an error. The id tells the client which request failed. */
function errorMessage(error: ServerError, request: ScannedRequest): Uint8Array {
  const writer = new BinaryWriter()
  writer.tag(STREAM_RESPONSE.error, WireType.LengthDelimited).string(error.message)
  writer.tag(STREAM_RESPONSE.response, WireType.LengthDelimited).fork()
  writer.tag(RESPONSE.model, WireType.LengthDelimited).string(request.model)
  writer.tag(RESPONSE.version, WireType.LengthDelimited).string(request.version)
  writer.tag(RESPONSE.id, WireType.LengthDelimited).bytes(request.id)
  return writer.join().finish()
}

/** The tag and the length before a message in a field. */
function leadOf(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish()
}
