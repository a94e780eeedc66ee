/** A file that is larger than the memory of any machine but takes no disk space. */
import { truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const BYTES = 2 ** 43

/** Writes the file into a model's folder, where `--check-memory` counts it. Returns its path. */
export function largeFile(folder: string): string {
  const file = path.join(folder, 'large.bin')
  writeFileSync(file, '')
  truncateSync(file, BYTES)
  return file
}
