/**
 * `JSON.parse` of a request of the Open Inference Protocol in a loop in a process of its own, its first
 * tensor made a `Float32Array`: what a server that reads JSON the usual way has to do before a run.
 *
 *     node build/benchmarks/bare-parse.js FILE SECONDS
 *
 * Prints what `bare.js` prints.
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
