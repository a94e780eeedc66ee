/** Models of the benchmarks. They are public models that are not part of the repository. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

const FOLDER = process.env['ONNXD_BENCH_MODELS'] ?? path.resolve('../shared/models')

/** Path of a model. */
export function modelFile(name: string): string {
  return path.join(FOLDER, name)
}

/** The reason why a benchmark with these models cannot run, `undefined` if all files exist. */
export function missingModels(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => !existsSync(modelFile(name)))
  if (missing.length === 0) return undefined
  return `${missing.join(', ')} not found in ${FOLDER}; ONNXD_BENCH_MODELS names the folder`
}

/** A request body of raw floats. */
export function floats(count: number): Buffer {
  return Buffer.from(Float32Array.from({ length: count }, (_, index) => (index % 251) / 251).buffer)
}

export const OCTETS = {
  'content-type': 'application/octet-stream',
  accept: 'application/octet-stream',
}
