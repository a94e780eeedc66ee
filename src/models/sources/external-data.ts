/**
 * Finds the names of the files with external weights of an ONNX file. It reads only lengths and
 * names, no weights.
 */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'

/**
 * Limits for a file of any size. Real models have far fewer fields, and one level per nested graph.
 */
const MAX_FIELDS = 2_000_000
const MAX_DEPTH = 60
const WINDOW_BYTES = 8 * 1024
const MAX_NAME_BYTES = 4096
/** A tag and a length, at most ten bytes each. */
const HEADER_BYTES = 20

/**
 * ONNX messages on the path to the weights, with the field numbers that lead to the next message.
 */
const FIELDS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  model: { 7: 'graph', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: { 13: 'entry' },
  entry: { 1: 'key', 2: 'value' },
}

/**
 * Returns the locations of external data in an ONNX file, as written there. A file that is not ONNX
 * has none; the worker rejects it with the reason.
 */
export async function externalLocations(file: string): Promise<readonly string[]> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const scan = new Scan(Buffer.allocUnsafe(WINDOW_BYTES), 0, handle)
    await scan.read('model', 0, size, 0)
    return [...scan.locations]
  } finally {
    await handle.close()
  }
}

/** As {@link externalLocations}, for the content of a file. */
export async function locationsIn(content: Buffer): Promise<readonly string[]> {
  const scan = new Scan(content, content.length)
  await scan.read('model', 0, content.length, 0)
  return [...scan.locations]
}

/** One pass over a file. */
class Scan {
  readonly locations = new Set<string>()
  readonly #handle: FileHandle | undefined
  readonly #window: Buffer
  /** Position of the window in the file, and number of its filled bytes. */
  #start = 0
  #filled: number
  #fields = 0
  #key = ''

  /**
   * @param filled Number of bytes of the window that are read.
   * @param handle File to read further; `undefined` if the window holds all of it.
   */
  constructor(window: Buffer, filled: number, handle?: FileHandle) {
    this.#window = window
    this.#filled = filled
    this.#handle = handle
  }

  /** Reads the message between two positions. Returns whether it is a valid message. */
  async read(kind: string, start: number, end: number, depth: number): Promise<boolean> {
    let at = start
    while (at < end) {
      if (++this.#fields > MAX_FIELDS || depth > MAX_DEPTH) return false
      if (!this.#has(at, Math.min(HEADER_BYTES, end - at))) await this.#fill(at)
      const tag = this.#varint(at)
      if (tag === undefined) return false
      const type = tag.value & 7
      at = tag.end
      if (type === 1 || type === 5) at += type === 1 ? 8 : 4
      else if (type === 0) {
        const skipped = this.#varint(at)
        if (skipped === undefined) return false
        at = skipped.end
      } else if (type === 2) {
        const length = this.#varint(at)
        if (length === undefined || length.end + length.value > end) return false
        at = length.end + length.value
        const inner = FIELDS[kind]?.[Math.floor(tag.value / 8)]
        if (inner === 'key' || inner === 'value') await this.#note(inner, length.end, at)
        else if (inner !== undefined && !(await this.read(inner, length.end, at, depth + 1)))
          return false
      } else return false
    }
    return at === end
  }

  async #note(kind: 'key' | 'value', start: number, end: number): Promise<void> {
    if (end - start > MAX_NAME_BYTES) return
    if (!this.#has(start, end - start)) await this.#fill(start)
    if (!this.#has(start, end - start)) return
    const text = this.#window.toString('utf8', start - this.#start, end - this.#start)
    if (kind === 'key') this.#key = text
    else if (this.#key === 'location') this.locations.add(text)
  }

  /** Reads a number, exact up to 2^53, and its end position. */
  #varint(at: number): { value: number; end: number } | undefined {
    let value = 0
    for (let index = 0; index < 10; index++) {
      if (!this.#has(at + index, 1)) return undefined
      const byte = this.#window[at + index - this.#start] ?? 0
      value += (byte & 127) * 2 ** (7 * index)
      if (byte < 128) return { value, end: at + index + 1 }
    }
    return undefined
  }

  #has(at: number, bytes: number): boolean {
    return at >= this.#start && at + bytes <= this.#start + this.#filled
  }

  async #fill(at: number): Promise<void> {
    if (this.#handle === undefined) return
    const { bytesRead } = await this.#handle.read(this.#window, 0, WINDOW_BYTES, at)
    this.#start = at
    this.#filled = bytesRead
  }
}
