import { FrameWriter } from './frame-writer.ts'
/**
 * Worker protocol, values to bytes. Every function returns buffers for one `writev`: the bytes between large
 * payloads, gathered, and each large payload (a parameter value, a reply body) itself, never a copy of it.
 * A number that does not fit into 32 bits throws a RangeError; lengths are the writer's own.
 */
import { COMMAND_LOAD, COMMAND_PREDICT, END_OF_LIST } from './messages.ts'
import type { LoadRequest, WireDialect, WireHeader, WireRequest, WorkerReply } from './messages.ts'

/** `L`: MMS worker protocol, section 2.1, or TorchServe's layout, section 2.6. */
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

/** `I`: MMS worker protocol, section 2.2. */
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

/** The answer to either request: MMS worker protocol, section 2.3. */
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
