/** B7: a large tensor as JSON, compared with the time of `JSON.parse` plus the bare run. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { randomNumbers } from '../test/helpers/random.ts'
import { bareLoop, bareParse } from './bare-loop.ts'
import { missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { goodLoop } from './load.ts'
import type { LoadResult } from './load.ts'
import { startServer } from './server.ts'

const MODEL = 'light_squeezenet'
const INPUT = { name: 'data_0', datatype: 'FP32', shape: [1, 3, 224, 224] }
const INPUT_FLOATS = 3 * 224 * 224
const SEED = 7
/** One of this many values has fewer digits, as if the client had rounded it. */
const ROUNDED = 8

export const jsonBody: Benchmark = {
  id: 'B7',
  title: `${MODEL}, ${INPUT_FLOATS} floats as JSON in, 1000 out, 1 connection`,
  missing: () => missingModels(`${MODEL}.onnx`),
  run: async ({ cli, rounds, seconds, note }) => {
    const model = modelFile(`${MODEL}.onnx`)
    const server = await startServer(cli, ['--workers', '1', '--threads', '1', model])
    const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
    const file = path.join(folder, 'request.json')
    const body = Buffer.from(JSON.stringify({ inputs: [{ ...INPUT, data: values() }] }))
    writeFileSync(file, body)
    note(`the request has ${(body.length / 1e6).toFixed(2)} MB`)
    try {
      const url = `${server.inference}/v2/models/${MODEL}/infer`
      const headers = { 'content-type': 'application/json' }
      const load = (): Promise<LoadResult> =>
        goodLoop({ url, body, headers }, { connections: 1, seconds })
      await load()
      const of = await gather(rounds, async () => {
        const parse = await bareParse(file, seconds)
        const run = await bareLoop(model, seconds)
        const request = await load()
        return {
          ratio: request.p50 / (parse.p50 + run.p50),
          request: request.p50,
          parse: parse.p50,
          run: run.p50,
        }
      })
      return [
        {
          what: 'p50 of a request over JSON.parse and the bare run',
          unit: '',
          rounds: of('ratio'),
          goal: { atMost: 0.75 },
        },
        { what: 'p50 of a request', unit: 'ms', rounds: of('request') },
        { what: 'p50 of JSON.parse alone', unit: 'ms', rounds: of('parse') },
        { what: 'p50 of the bare run alone', unit: 'ms', rounds: of('run') },
      ]
    } finally {
      await server.stop()
      rmSync(folder, { recursive: true })
    }
  },
}

/**
 * Numbers from -1 to 1 with 7 to 17 digits. Most have all digits, as JSON libraries write them;
 * some are rounded. They are the same in every run.
 */
function values(): number[] {
  const random = randomNumbers(SEED)
  return Array.from({ length: INPUT_FLOATS }, (_, index) => {
    // A number of only 32 random bits would have few digits.
    const value = 2 * (random.next() + random.next() / 2 ** 32) - 1
    return index % ROUNDED === 0 ? Number(value.toPrecision(random.integer(7, 15))) : value
  })
}
