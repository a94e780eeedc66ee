/** Small damage to bytes: cheap enough for a million of them. */
import type { RandomNumbers } from './random.ts'

/** Numbers at which programs change their minds, in the widths that formats have. */
const EDGES: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0x80],
  [0xff],
  [0xff, 0xff],
  [0, 0x80],
  [0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
]
const MAX_CHANGES = 3
const MAX_MOVED = 64

/**
 * A copy of `original` with one to three changes: bits, bytes, edge numbers, words of the format, pieces that are
 * cut out, doubled, or taken from `other`, an early end.
 */
export function mutate(
  original: Buffer,
  random: RandomNumbers,
  { words = [], other = original }: { words?: readonly Buffer[]; other?: Buffer } = {},
): Buffer {
  let bytes: Buffer = Buffer.from(original)
  for (let change = random.integer(1, MAX_CHANGES); change > 0; change -= 1) {
    bytes = changed(bytes, random, words, other)
  }
  return bytes
}

function changed(
  bytes: Buffer,
  random: RandomNumbers,
  words: readonly Buffer[],
  other: Buffer,
): Buffer {
  if (bytes.length === 0) return Buffer.from(other)
  const at = random.integer(0, bytes.length - 1)
  const length = random.integer(1, MAX_MOVED)
  switch (random.integer(0, 9)) {
    case 0:
    case 1:
      bytes[at] = random.integer(0, 255)
      return bytes
    case 2:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7))
      return bytes
    case 3:
      bytes[at] = (bytes[at] ?? 0) + (random.integer(0, 1) === 0 ? 1 : -1)
      return bytes
    case 4:
    case 5:
      Buffer.from(EDGES[random.integer(0, EDGES.length - 1)] ?? [0]).copy(bytes, at)
      return bytes
    case 6:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    case 7: {
      const from = random.integer(0, Math.max(0, other.length - 1))
      const piece = other.subarray(from, from + length)
      return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
    }
    case 8: {
      const word = words[random.integer(0, words.length - 1)]
      if (word === undefined) return bytes.subarray(0, at)
      return Buffer.concat([bytes.subarray(0, at), word, bytes.subarray(at)])
    }
    default:
      return random.integer(0, 3) === 0 ? bytes.subarray(0, at) : bytes.fill(0, at, at + 1)
  }
}
