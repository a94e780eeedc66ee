/**
 * The bare runtime: onnxruntime in a loop in a separate process, without a server.
 *
 *     node build/benchmarks/bare.js MODEL BATCH SECONDS
 *
 * Prints runs per second and the median time of a run in milliseconds.
 */
import process from 'node:process'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { timedLoop } from './timed-loop.ts'

const [file = '', batch = '1', seconds = '1'] = process.argv.slice(2)
const session = await InferenceSession.create(file, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
})
const [input] = session.inputMetadata
if (input?.isTensor !== true) throw new Error(`${file} has no tensor for its input`)
const shape = input.shape.map((size, axis) =>
  typeof size === 'number' && size > 0 ? size : axis === 0 ? Number(batch) : 1,
)
const count = shape.reduce((product, size) => product * size, 1)
const feeds = {
  [input.name]: new Tensor('float32', Float32Array.from({ length: count }, Math.random), shape),
}

console.log(JSON.stringify(await timedLoop(Number(seconds), () => session.run(feeds))))
