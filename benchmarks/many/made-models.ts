/** Models that the benchmarks write themselves, and requests to them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { addingModel } from '../../test/helpers/numbered-models.ts'
import { layers } from '../../test/helpers/weight-models.ts'
import { OCTETS, floats } from '../bench-models.ts'

/** Weights of a layer: WIDTH² floats, 4 MiB. */
const WIDTH = 1024
/** 92 MB of weights. */
const LAYERS = 22

/** Body of a request to the model of {@link writeLargeModel}. */
export const LARGE_BODY = floats(WIDTH)
/** Body of a request to a model of {@link writeStore}. */
export const SMALL_BODY = floats(2)

/** Creates a folder that is removed when the benchmarks end. */
export function temporaryFolder(): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  const remove = (): void => {
    process.off('exit', remove)
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', remove)
  return { folder, remove }
}

/** Writes a model of 92 MB: layers of matrix products with random weights. */
export function writeLargeModel(file: string): void {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, layers(WIDTH, LAYERS))
}

/** Writes a store with the models `m1` to `m<count>`, of about 150 bytes each. */
export function writeStore(store: string, count: number): void {
  for (let number = 1; number <= count; number += 1) {
    const folder = path.join(store, `m${number}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'model.onnx'), addingModel(number))
  }
}

/** Sends one request. Returns its time in milliseconds and its status; 0 if there was none. */
export async function predict(
  base: string,
  model: string,
  body: Buffer,
): Promise<{ readonly ms: number; readonly status: number }> {
  const from = performance.now()
  let status = 0
  try {
    const url = `${base}/predictions/${model}`
    const response = await fetch(url, { method: 'POST', headers: OCTETS, body })
    await response.arrayBuffer()
    status = response.status
  } catch {
    // A failed connection.
  }
  return { ms: performance.now() - from, status }
}

/** As {@link predict}. @throws Error for any other status than 200. */
export async function goodPredict(base: string, model: string, body: Buffer): Promise<number> {
  const { ms, status } = await predict(base, model, body)
  if (status !== 200) throw new Error(`a request to ${model} got status ${status}`)
  return ms
}
