/**
 * The bare runtime: onnxruntime in a loop in a process of its own, without any server.
 *
 *     node build/benchmarks/bare.js MODEL BATCH SECONDS
 *
 * Prints runs a second and the median milliseconds of a run.
 */
import process from 'node:process'
import { InferenceSession, Tensor } from 'onnxruntime-node'

const WARM_UP_RUNS = 20

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

for (let run = 0; run < WARM_UP_RUNS; run++) await session.run(feeds)
const times: number[] = []
const start = performance.now()
const end = start + Number(seconds) * 1000
let now = start
while (now < end) {
  const before = now
  await session.run(feeds)
  now = performance.now()
  times.push(now - before)
}
times.sort((a, b) => a - b)
const rate = times.length / ((now - start) / 1000)
console.log(JSON.stringify({ rate, p50: times[times.length >> 1] }))
