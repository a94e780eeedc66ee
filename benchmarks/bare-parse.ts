/**
 * Parses a request of the Open Inference Protocol with `JSON.parse` in a loop in a separate
 * process, and converts its first tensor to a `Float32Array`. A server that reads JSON in the usual
 * way must do this before each run.
 *
 *     node build/benchmarks/bare-parse.js FILE SECONDS
 *
 * Prints the same result as `bare.js`.
 */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { timedLoop } from './timed-loop.ts'

const [file = '', seconds = '1'] = process.argv.slice(2)
const text = readFileSync(file, 'utf8')
const result = await timedLoop(Number(seconds), () => {
  const { inputs }: { inputs: { data: number[] }[] } = JSON.parse(text)
  const tensor = new Float32Array(inputs[0]?.data ?? [])
  if (tensor.length === 0) throw new Error(`${file} has no numbers`)
})
console.log(JSON.stringify(result))
