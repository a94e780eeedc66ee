/**
 * Finds what this process needs in a `ModelInferRequest`: the model, the id, priority and timeout.
 * It reads no tensor and copies nothing.
 */
import { ServerError } from '../../../errors.ts'
import { MessageReader } from '../../../formats/proto-message.ts'

const MAX_NAME_BYTES = 1024
const MAX_ID_BYTES = 64 * 1024
const NO_BYTES: Buffer = Buffer.alloc(0)

/** Field numbers of `ModelInferRequest`, of an entry of a map, and of `InferParameter`. */
const REQUEST = { model: 1, version: 2, id: 3, parameters: 4, raw: 7 } as const
const ENTRY = { key: 1, value: 2 } as const
const PARAMETER = { int64: 2, uint64: 5 } as const

export interface ScannedRequest {
  readonly model: string
  /** Empty for the default version. */
  readonly version: string
  /** A view of the client's id. */
  readonly id: Buffer
  /** The request parameters with these names; `timeout` is in microseconds. */
  readonly priority: number | undefined
  readonly timeoutUs: number | undefined
  /** Where the raw bytes of the first tensor begin in the message; 0 if there are none. */
  readonly tensorsAt: number
}

/** @throws ServerError 400 for bytes that are no such message. */
export function scanInferRequest(bytes: Buffer): ScannedRequest {
  const message = new MessageReader(bytes)
  let [model, version] = ['', '']
  let id: Buffer = NO_BYTES
  let priority: number | undefined
  let timeoutUs: number | undefined
  let tensorsAt = 0
  while (message.next()) {
    switch (message.number) {
      case REQUEST.model:
        model = nameIn(message, 'model_name')
        break
      case REQUEST.version:
        version = nameIn(message, 'model_version')
        break
      case REQUEST.id:
        id = message.view()
        if (id.length > MAX_ID_BYTES) throw tooLong('id', MAX_ID_BYTES)
        break
      case REQUEST.parameters: {
        const name = keyOf(message.message())
        if (name === 'priority') priority = integerIn(message.message(), name)
        else if (name === 'timeout') timeoutUs = integerIn(message.message(), name)
        break
      }
      case REQUEST.raw:
        if (tensorsAt === 0) tensorsAt = message.start
        break
      default:
    }
  }
  return { model, version, id, priority, timeoutUs, tensorsAt }
}

function nameIn(message: MessageReader, field: string): string {
  if (message.end - message.start > MAX_NAME_BYTES) throw tooLong(field, MAX_NAME_BYTES)
  return message.text()
}

/** The key of an entry; empty for a long one. */
function keyOf(entry: MessageReader): string {
  let key = ''
  while (entry.next()) {
    if (entry.number !== ENTRY.key) continue
    key = entry.end - entry.start > MAX_NAME_BYTES ? '' : entry.view().toString('latin1')
  }
  return key
}

function integerIn(entry: MessageReader, name: string): number {
  let value: bigint | undefined
  while (entry.next()) {
    if (entry.number !== ENTRY.value) continue
    const parameter = entry.message()
    value = undefined
    while (parameter.next()) {
      const isInteger =
        parameter.number === PARAMETER.int64 || parameter.number === PARAMETER.uint64
      value = isInteger ? parameter.integer() : undefined
    }
  }
  if (value !== undefined && value >= 0n && value <= Number.MAX_SAFE_INTEGER) return Number(value)
  const text = `The parameter ${name} must be an integer of 0 or more, in int64_param.`
  throw new ServerError('BadRequestException', text)
}

function tooLong(field: string, max: number): ServerError {
  const text = `The request message is not valid: ${field} has more than ${max} bytes.`
  return new ServerError('InvalidInputException', text)
}
