import { readSync } from 'node:fs'
import { BODY_HEADER } from '../../dialects.ts'
import { ProtocolError } from '../../errors.ts'
import type { WireRequest, WorkerReply } from '../wire/messages.ts'
import type { LoadedModel } from './handler.ts'

const REFERENCE = /^(\d{1,15})\+(\d{1,15})$/
/** Tensors begin where processors like them to. */
const ALIGNMENT = 64
/** More is not kept for the next batch. */
const KEPT_BYTES = 8 * 1024 * 1024

/** A request and the place of its body in the file. */
interface Reference {
  readonly offset: number
  readonly length: number
}

/**
 * A model whose large bodies come beside the socket, in a file of the front-end that has no name. They are read into
 * memory that is used again for the next batch: its model must keep nothing of a request.
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

  predict(requests: readonly WireRequest[]): Promise<WorkerReply> | WorkerReply {
    return this.#model.predict(this.#withBodies(requests))
  }

  close(): Promise<void> | void {
    return this.#model.close()
  }

  #withBodies(requests: readonly WireRequest[]): readonly WireRequest[] {
    const references = requests.map(referenceOf)
    const needed = references.reduce((sum, reference) => sum + aligned(reference?.length ?? 0), 0)
    if (needed === 0) return requests
    const memory = this.#memoryFor(needed)
    let at = 0
    return requests.map((request, index) => {
      const reference = references[index]
      if (reference === undefined) return request
      const value = memory.subarray(at, at + reference.length)
      at += aligned(reference.length)
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
      if (size === 0) throw new ProtocolError('A body is not where its header says')
      read += size
    }
  }
}

/** The front-end's is always the last header. */
function referenceOf({ headers }: WireRequest): Reference | undefined {
  const [name, value = ''] = headers.at(-1) ?? []
  if (name !== BODY_HEADER) return undefined
  const [, offset, length] = REFERENCE.exec(value) ?? []
  if (offset === undefined || length === undefined) {
    throw new ProtocolError(`A body reference of ${JSON.stringify(value)}`)
  }
  return { offset: Number(offset), length: Number(length) }
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT
}
