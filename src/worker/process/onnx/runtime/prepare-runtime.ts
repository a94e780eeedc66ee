import { env } from 'onnxruntime-node'
import { initOrt } from 'onnxruntime-node/dist/binding.js'

/** Initialises onnxruntime. It needs no model; a second call does nothing. */
export function prepareRuntime(): void {
  env.logLevel = 'error'
  initOrt()
}
