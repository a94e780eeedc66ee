/** Counts the bytes that a reader reads, copies and allocates: its work, without a clock. */
import type { TestContext } from 'node:test'

type BytesOf = (result: unknown, buffer: Uint8Array) => number

const wholeBuffer: BytesOf = (_result, { length }) => length
const lengthOfResult: BytesOf = (result) =>
  typeof result === 'string' || result instanceof Uint8Array ? result.length : 0

const METHODS: Readonly<Record<string, BytesOf>> = {
  copy: (copied) => Number(copied),
  equals: wholeBuffer,
  fill: wholeBuffer,
  includes: wholeBuffer,
  indexOf: wholeBuffer,
  readInt32BE: () => Int32Array.BYTES_PER_ELEMENT,
  set: wholeBuffer,
  toString: lengthOfResult,
}
const FACTORIES: Readonly<Record<string, BytesOf>> = {
  alloc: lengthOfResult,
  allocUnsafe: lengthOfResult,
  allocUnsafeSlow: lengthOfResult,
  concat: lengthOfResult,
  from: lengthOfResult,
}

/** Counts calls on all buffers until the test ends, and single bytes of watched ones. */
export class ByteCount {
  bytes = 0

  constructor(t: TestContext) {
    for (const [name, bytesOf] of Object.entries(METHODS))
      this.#count(t, Buffer.prototype, name, bytesOf)
    for (const [name, bytesOf] of Object.entries(FACTORIES)) this.#count(t, Buffer, name, bytesOf)
  }

  /** The same buffer, whose single bytes count when they are read. */
  watch(buffer: Buffer): Buffer {
    return new Proxy(buffer, {
      get: (target, key) => {
        if (typeof key === 'string' && /^\d/.test(key)) this.bytes += 1
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  #count(t: TestContext, owner: object, name: string, bytesOf: BytesOf): void {
    const own = Object.getOwnPropertyDescriptor(owner, name)
    const method: unknown = Reflect.get(owner, name)
    if (typeof method !== 'function') throw new TypeError(name)
    const add = (bytes: number): void => {
      this.bytes += bytes
    }
    Object.defineProperty(owner, name, {
      configurable: true,
      writable: true,
      value: function counted(this: Uint8Array, ...args: unknown[]): unknown {
        const result: unknown = Reflect.apply(method, this, args)
        add(bytesOf(result, this))
        return result
      },
    })
    t.after(() => {
      if (own === undefined) Reflect.deleteProperty(owner, name)
      else Object.defineProperty(owner, name, own)
    })
  }
}
