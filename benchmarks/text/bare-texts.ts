/**
 * A text model in a loop in a separate process, without a server and without a tokenizer.
 *
 *     node build/benchmarks/text/bare-texts.js MODEL TEXTS TOKENS SECONDS
 *
 * Prints runs per second and the median time of a run in milliseconds.
 */
import process from 'node:process'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { timedLoop } from '../timed-loop.ts'

const [file = '', texts = '1', tokens = '8', seconds = '1'] = process.argv.slice(2)
const session = await InferenceSession.create(file, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
})
const shape = [Number(texts), Number(tokens)]
const count = Number(texts) * Number(tokens)
const tensor = (value: (index: number) => bigint): Tensor =>
  new Tensor(
    'int64',
    BigInt64Array.from({ length: count }, (_, index) => value(index)),
    shape,
  )
const feeds = {
  input_ids: tensor((index) => BigInt(5 + (index % 30))),
  attention_mask: tensor(() => 1n),
  token_type_ids: tensor(() => 0n),
}

console.log(JSON.stringify(await timedLoop(Number(seconds), () => session.run(feeds))))
