/**
 * The bare runtime: onnxruntime in a loop in a separate process, without a server.
 *
 *     node build/benchmarks/bare.js MODEL BATCH SECONDS
 *
 * Prints runs per second and the median time of a run in milliseconds.
 */
import process from 'node:process'
import { openBare } from './bare-session.ts'
import { timedLoop } from './timed-loop.ts'

const [file = '', batch = '1', seconds = '1'] = process.argv.slice(2)
console.log(JSON.stringify(await timedLoop(Number(seconds), await openBare(file, Number(batch)))))
