/**
 * Encodes the worker protocol. Each function returns buffers for one `writev`: small fields are
 * gathered, and each large payload (a parameter value or a reply body) is passed on without a copy.
 * A number that does not fit into 32 bits throws a RangeError.
 */
import { FrameWriter } from './frame-writer.ts'
import { COMMAND_CANCEL, COMMAND_LOAD, COMMAND_PREDICT, END_OF_LIST } from './messages.ts'
import type { LoadRequest, WireDialect, WireHeader, WireRequest, WorkerReply } from './messages.ts'

/**
 * Encodes `L`, the load request, in the layout of MMS or TorchServe. See `docs/worker-protocol.md`.
 */
export function encodeLoad(request: LoadRequest, dialect: WireDialect): Buffer[] {
  const frame = new FrameWriter()
  frame.byte(COMMAND_LOAD)
  frame.text(request.modelName)
  frame.text(request.modelPath)
  frame.int(Math.max(1, request.batchSize))
  frame.text(request.handler)
  frame.int(request.gpu)
  if (dialect === 'mms') {
    frame.text(request.ioDescriptor)
  } else {
    frame.text(request.envelope)
    frame.byte(request.limitMaxImagePixels ? 1 : 0)
  }
  return frame.finish()
}

/** Encodes `I`, the predict request. See `docs/worker-protocol.md`. */
export function encodePredict(requests: readonly WireRequest[]): Buffer[] {
  const frame = new FrameWriter()
  frame.byte(COMMAND_PREDICT)
  for (const request of requests) {
    frame.text(request.id)
    writeHeaders(frame, request.headers)
    frame.int(END_OF_LIST)
    for (const parameter of request.parameters) {
      frame.text(parameter.name)
      frame.text(parameter.contentType)
      frame.payload(parameter.value)
    }
    frame.int(END_OF_LIST)
  }
  frame.int(END_OF_LIST)
  return frame.finish()
}

/** Encodes `C`, which ends a streamed reply. See `docs/worker-protocol.md`. */
export function encodeCancel(id: string): Buffer[] {
  const frame = new FrameWriter()
  frame.byte(COMMAND_CANCEL)
  frame.text(id)
  return frame.finish()
}

/** Encodes the reply to either request. See `docs/worker-protocol.md`. */
export function encodeReply(reply: WorkerReply): Buffer[] {
  const frame = new FrameWriter()
  frame.int(reply.code)
  frame.text(reply.message)
  for (const prediction of reply.predictions) {
    frame.text(prediction.id)
    frame.text(prediction.contentType)
    frame.int(prediction.status)
    frame.text(prediction.reason)
    frame.int(prediction.headers.length)
    writeHeaders(frame, prediction.headers)
    frame.payload(prediction.body)
  }
  frame.int(END_OF_LIST)
  return frame.finish()
}

function writeHeaders(frame: FrameWriter, headers: readonly WireHeader[]): void {
  for (const [name, value] of headers) {
    frame.text(name)
    frame.text(value)
  }
}
