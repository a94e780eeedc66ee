/**
 * A worker that responds at once, without a model. `front-end.ts` puts it in the place of the real
 * one, so it gets the same arguments and speaks the same protocol.
 */
import { createServer } from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { messageWithTimes } from '../../src/contract/compute-times.ts'
import { READY_LINE } from '../../src/contract/worker-lines.ts'
import { RequestDecoder } from '../../src/worker/wire/decode.ts'
import { encodeReply } from '../../src/worker/wire/encode.ts'
import type {
  WireHeader,
  WireRequest,
  WorkerReply,
  WorkerRequest,
} from '../../src/worker/wire/messages.ts'

/** The real worker sends at most this many replies in one write. */
const MAX_GATHERED = 4
/** Ten classes of floats, as mnist returns them. */
const BODY = Buffer.alloc(40)
const HEADERS: readonly WireHeader[] = [
  ['Tensor-Name', 'Plus214_Output_0'],
  ['Tensor-Datatype', 'FP32'],
  ['Tensor-Shape', '1,10'],
]
const MESSAGE = messageWithTimes({ input: 0.01, infer: 0.05, output: 0.01 })
const DESCRIPTION = Buffer.from('{"inputs":[],"outputs":[]}')

const { values } = parseArgs({ strict: false, options: { 'sock-name': { type: 'string' } } })
const server = createServer((socket) => {
  const decoder = new RequestDecoder()
  socket.on('data', (chunk) => {
    const replies = decoder.push(chunk).map(replyTo)
    for (let start = 0; start < replies.length; start += MAX_GATHERED) {
      socket.cork()
      for (const part of replies.slice(start, start + MAX_GATHERED).flatMap(encodeReply))
        socket.write(part)
      socket.uncork()
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => process.exit(0))
})
server.listen(String(values['sock-name']), () => console.log(READY_LINE))

function replyTo(message: WorkerRequest): WorkerReply {
  if (message.command === 'predict')
    return { code: 200, message: MESSAGE, predictions: message.requests.map(responseTo) }
  const name = message.command === 'load' ? message.modelName : ''
  const loaded = `loaded model ${name}. [PID]:${process.pid}`
  return { code: 200, message: loaded, predictions: [] }
}

function responseTo({ id, parameters }: WireRequest): WorkerReply['predictions'][number] {
  // Without a parameter, the front-end asks for the description of the model.
  const isDescribed = parameters.length === 0
  return {
    id,
    contentType: isDescribed ? 'application/json' : 'application/octet-stream',
    status: 200,
    reason: '',
    headers: isDescribed ? [] : HEADERS,
    body: isDescribed ? DESCRIPTION : BODY,
  }
}
