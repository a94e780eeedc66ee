import { readSync } from 'node:fs'
import { BODY_HEADER } from '../../../contract/internal-headers.ts'
import { ProtocolError } from '../../../errors.ts'
import type { WireHeader, WireRequest } from '../../wire/messages.ts'
import type { LoadedModel, ModelReply } from '../handler.ts'
import { JSON_LENGTH_HEADER } from '../onnx/headers.ts'

const REFERENCE = /^(\d{1,15})\+(\d{1,15})$/
/**
 * Bytes. Each body starts so that its tensors lie at a multiple of this, because processors read
 * aligned tensors faster.
 */
const ALIGNMENT = 64
const JSON_LENGTH = JSON_LENGTH_HEADER.toLowerCase()
/** Bytes. A larger buffer is not kept for the next batch. */
const KEPT_BYTES = 8 * 1024 * 1024

/** The position of a request's body in the file. */
interface Reference {
  readonly offset: number
  readonly length: number
  /**
   * Bytes to leave free before the body, so that the tensors behind the JSON of a binary request
   * are aligned.
   */
  readonly indent: number
}

/**
 * Reads large bodies from the front-end's unnamed file, which carries them beside the socket, and
 * passes them to a model. The memory is reused for the next batch, so the model must not keep
 * references to a request's body.
 */
export class BodyReader implements LoadedModel {
  readonly needsEventLoop: boolean
  readonly #descriptor: number
  readonly #model: LoadedModel
  #memory = Buffer.alloc(0)

  constructor(descriptor: number, model: LoadedModel) {
    this.needsEventLoop = model.needsEventLoop
    this.#descriptor = descriptor
    this.#model = model
  }

  predict(requests: readonly WireRequest[], startedAt: number): Promise<ModelReply> | ModelReply {
    return this.#model.predict(this.#withBodies(requests), startedAt)
  }

  close(): Promise<void> | void {
    return this.#model.close()
  }

  #withBodies(requests: readonly WireRequest[]): readonly WireRequest[] {
    const references = requests.map(referenceOf)
    const needed = references.reduce((sum, reference) => sum + roomFor(reference), 0)
    if (needed === 0) return requests
    const memory = this.#memoryFor(needed)
    let at = 0
    return requests.map((request, index) => {
      const reference = references[index]
      if (reference === undefined) return request
      const start = at + reference.indent
      const value = memory.subarray(start, start + reference.length)
      at += roomFor(reference)
      this.#read(value, reference.offset)
      return { ...request, parameters: request.parameters.map((body) => ({ ...body, value })) }
    })
  }

  #memoryFor(bytes: number): Buffer {
    if (bytes <= this.#memory.length) return this.#memory
    const memory = Buffer.allocUnsafeSlow(bytes)
    if (bytes <= KEPT_BYTES) this.#memory = memory
    return memory
  }

  #read(value: Buffer, offset: number): void {
    let read = 0
    while (read < value.length) {
      const size = readSync(this.#descriptor, value, read, value.length - read, offset + read)
      if (size === 0)
        throw new ProtocolError('the body file ends before the body that a header describes')
      read += size
    }
  }
}

/** The header that the front-end adds is always the last one. */
function referenceOf({ headers }: WireRequest): Reference | undefined {
  const [name, value = ''] = headers.at(-1) ?? []
  if (name !== BODY_HEADER) return undefined
  const [, offset, length] = REFERENCE.exec(value) ?? []
  if (offset === undefined || length === undefined) {
    throw new ProtocolError(`invalid body reference ${JSON.stringify(value)}`)
  }
  return { offset: Number(offset), length: Number(length), indent: indentOf(headers) }
}

function indentOf(headers: readonly WireHeader[]): number {
  const found = headers.find(
    ([name]) => name.length === JSON_LENGTH_HEADER.length && name.toLowerCase() === JSON_LENGTH,
  )
  const jsonBytes = Number(found?.[1] ?? 0)
  return Number.isSafeInteger(jsonBytes) ? -(jsonBytes % ALIGNMENT) & (ALIGNMENT - 1) : 0
}

function roomFor(reference: Reference | undefined): number {
  return reference === undefined ? 0 : aligned(reference.length + reference.indent)
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT
}
