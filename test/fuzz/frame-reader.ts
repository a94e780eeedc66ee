/** Reads frames of the worker protocol from one block of bytes, as simply as can be. */
import type {
  WireHeader,
  WireLimits,
  WirePrediction,
  WireRequest,
  WorkerReply,
  WorkerRequest,
} from '../../src/worker/wire/messages.ts'

/** Replies are the same in both dialects. */
export type FrameKind = 'reply' | 'mms' | 'torchserve'

/** What bytes are: messages to their end, with the begin of another, or something else. */
export interface Outcome {
  readonly state: 'whole' | 'begun' | 'refused'
  readonly messages: readonly (WorkerReply | WorkerRequest)[]
  readonly problem?: string
}

class Ended extends Error {}
class Refused extends Error {}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class FrameReader {
  readonly #bytes: Buffer
  readonly #kind: FrameKind
  readonly #limits: WireLimits
  #at = 0

  constructor(bytes: Buffer, kind: FrameKind, limits: WireLimits) {
    this.#bytes = bytes
    this.#kind = kind
    this.#limits = limits
  }

  read(): Outcome {
    const messages: (WorkerReply | WorkerRequest)[] = []
    try {
      while (this.#at < this.#bytes.length) {
        messages.push(this.#kind === 'reply' ? this.#reply() : this.#request())
      }
      return { state: 'whole', messages }
    } catch (error) {
      if (error instanceof Ended) return { state: 'begun', messages }
      if (error instanceof Refused) return { state: 'refused', messages }
      throw error
    }
  }

  #reply(): WorkerReply {
    const code = this.#int()
    const message = this.#text()
    const predictions = this.#list((length): WirePrediction => ({
      id: this.#text(length),
      contentType: this.#text(),
      status: this.#int(),
      reason: this.#text(),
      headers: this.#countedHeaders(),
      body: this.#value(),
    }))
    return { code, message, predictions }
  }

  #countedHeaders(): WireHeader[] {
    const count = this.#int()
    if (count < 0 || count > this.#limits.maxCount) throw new Refused()
    return Array.from({ length: count }, () => [this.#text(), this.#text()] as const)
  }

  #request(): WorkerRequest {
    const command = this.#byte()
    if (command === 0x43) return { command: 'cancel', id: this.#text() }
    if (command === 0x49) {
      const requests = this.#list((length): WireRequest => ({
        id: this.#text(length),
        headers: this.#list((nameLength) => [this.#text(nameLength), this.#text()] as const),
        parameters: this.#list((nameLength) => ({
          name: this.#text(nameLength),
          contentType: this.#text(),
          value: this.#value(),
        })),
      }))
      return { command: 'predict', requests }
    }
    if (command !== 0x4c) throw new Refused()
    const common = {
      command: 'load' as const,
      modelName: this.#text(),
      modelPath: this.#text(),
      batchSize: this.#int(),
      handler: this.#text(),
      gpu: Math.max(this.#int(), -1),
    }
    if (this.#kind === 'mms')
      return { ...common, ioDescriptor: this.#text(), envelope: '', limitMaxImagePixels: true }
    const envelope = this.#text()
    const byte = this.#byte()
    if (byte > 1) throw new Refused()
    return { ...common, ioDescriptor: '', envelope, limitMaxImagePixels: byte === 1 }
  }

  /** Elements that begin with a length, up to one of -1. */
  #list<Item>(read: (length: number) => Item): Item[] {
    const items: Item[] = []
    for (let length = this.#int(); length !== -1; length = this.#int()) {
      if (items.length === this.#limits.maxCount) throw new Refused()
      items.push(read(length))
    }
    return items
  }

  #text(declared = this.#int()): string {
    const bytes = this.#take(this.#length(declared, this.#limits.maxTextBytes))
    try {
      return UTF8.decode(bytes)
    } catch {
      throw new Refused()
    }
  }

  #value(): Buffer {
    return Buffer.from(this.#take(this.#length(this.#int(), this.#limits.maxValueBytes)))
  }

  /** To a worker, a negative length is an empty value, as the original worker reads it. */
  #length(declared: number, limit: number): number {
    if (declared > limit) throw new Refused()
    if (declared >= 0) return declared
    if (this.#kind === 'reply') throw new Refused()
    return 0
  }

  #int(): number {
    return this.#take(4).readInt32BE()
  }

  #byte(): number {
    return this.#take(1).readUInt8()
  }

  #take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw new Ended()
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}
