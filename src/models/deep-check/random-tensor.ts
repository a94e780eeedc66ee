/** Tensors of random numbers, as their bytes in the Open Inference Protocol. */
import type { TensorMetadata } from '../model-metadata.ts'

/** Larger inputs are not generated. */
const MAX_ELEMENTS = 16 * 1024 * 1024
/** FP16: 0, 0.25, 0.5, 1 and -1. */
const HALVES = [0, 0x3400, 0x3800, 0x3c00, 0xbc00]

/** Returns numbers from 0 to below 1: always the same ones for a seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Returns the shape with sizes in place of open dimensions: 1 for the first one, which is often the
 * batch dimension, and `size` for the others.
 */
export function concreteShape({ shape }: TensorMetadata, size: number): number[] {
  return shape.map((dimension, index) => (dimension >= 0 ? dimension : index === 0 ? 1 : size))
}

/**
 * Fills a tensor. Integers are 0 or 1, which most models accept as ids, classes and masks.
 * @returns `undefined` for a tensor that is too large or has an unknown datatype.
 */
export function randomBytes(
  datatype: string,
  shape: readonly number[],
  next: () => number,
): Buffer | undefined {
  const count = shape.reduce((product, size) => product * size, 1)
  const write = WRITERS[datatype]
  if (write === undefined || count > MAX_ELEMENTS) return undefined
  const { bytes: elementBytes } = write
  const bytes = Buffer.alloc(count * elementBytes)
  for (let index = 0; index < count; index += 1) write.one(bytes, index * elementBytes, next())
  return bytes
}

interface Writer {
  readonly bytes: number
  readonly one: (bytes: Buffer, at: number, random: number) => void
}

const bit = (random: number): number => (random < 0.5 ? 0 : 1)

const WRITERS: Readonly<Record<string, Writer>> = {
  BOOL: { bytes: 1, one: (bytes, at, random) => void bytes.writeUInt8(bit(random), at) },
  INT8: { bytes: 1, one: (bytes, at, random) => void bytes.writeInt8(bit(random), at) },
  UINT8: {
    bytes: 1,
    // Bytes are often pixels.
    one: (bytes, at, random) => void bytes.writeUInt8(Math.floor(random * 256), at),
  },
  INT16: { bytes: 2, one: (bytes, at, random) => void bytes.writeInt16LE(bit(random), at) },
  UINT16: { bytes: 2, one: (bytes, at, random) => void bytes.writeUInt16LE(bit(random), at) },
  FP16: {
    bytes: 2,
    one: (bytes, at, random) =>
      void bytes.writeUInt16LE(HALVES[Math.floor(random * HALVES.length)] ?? 0, at),
  },
  INT32: { bytes: 4, one: (bytes, at, random) => void bytes.writeInt32LE(bit(random), at) },
  UINT32: { bytes: 4, one: (bytes, at, random) => void bytes.writeUInt32LE(bit(random), at) },
  FP32: { bytes: 4, one: (bytes, at, random) => void bytes.writeFloatLE(random * 2 - 1, at) },
  INT64: {
    bytes: 8,
    one: (bytes, at, random) => void bytes.writeBigInt64LE(BigInt(bit(random)), at),
  },
  UINT64: {
    bytes: 8,
    one: (bytes, at, random) => void bytes.writeBigUInt64LE(BigInt(bit(random)), at),
  },
  FP64: { bytes: 8, one: (bytes, at, random) => void bytes.writeDoubleLE(random * 2 - 1, at) },
  // A text with a length in front; a digit is also a text for models that read numbers.
  BYTES: {
    bytes: 5,
    one: (bytes, at, random) => {
      bytes.writeUInt32LE(1, at)
      bytes.write(String(Math.floor(random * 10)), at + 4)
    },
  },
}
