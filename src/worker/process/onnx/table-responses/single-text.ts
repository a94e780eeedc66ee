import { MAX_NUMBER_BYTES, writeSingle } from '../json/number-writer.ts'

const bytes = Buffer.alloc(MAX_NUMBER_BYTES)

/** The fewest digits that read back as the same float32. */
export function singleText(value: number): string {
  return bytes.toString('latin1', 0, writeSingle(bytes, 0, value))
}
