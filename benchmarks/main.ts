/** Runs benchmarks and prints the results with their goals. See `scripts/bench.mjs`. */
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { frontEndAlone } from './alone/front-end.ts'
import { workerAlone } from './alone/worker.ts'
import { batches } from './batching.ts'
import type { Benchmark, Figure, Plan } from './benchmark.ts'
import { binaryTensors } from './binary-v2.ts'
import { endWhenAsked } from './end-when-asked.ts'
import { grpcBesideRest } from './grpc.ts'
import { httpProcesses } from './http-processes.ts'
import { jsonBody } from './json-body.ts'
import { largeBodies, twoWorkers } from './large-model.ts'
import { machineFacts } from './machine.ts'
import { manyModels } from './many-models.ts'
import { churn } from './many/churn.ts'
import { largeStore } from './many/large-store.ts'
import { sharedWeights } from './many/shared-weights.ts'
import { overload } from './overload.ts'
import { peers } from './peers.ts'
import { relayCost } from './relay-cost.ts'
import { figureLine } from './report.ts'
import { manyClients, oneClient } from './small-model.ts'
import { spareWorkers } from './spare-workers.ts'
import { coldStart } from './start-up.ts'
import { textEmbeddings } from './text/embeddings.ts'

const BENCHMARKS: readonly Benchmark[] = [
  oneClient,
  manyClients,
  largeBodies,
  twoWorkers,
  batches,
  binaryTensors,
  jsonBody,
  coldStart,
  overload,
  manyModels,
  relayCost,
  peers,
  sharedWeights,
  spareWorkers,
  churn,
  largeStore,
  textEmbeddings,
  grpcBesideRest,
  workerAlone,
  frontEndAlone,
  httpProcesses,
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    // The bundled program that users get.
    cli: { type: 'string', default: fileURLToPath(new URL('../../dist/cli.js', import.meta.url)) },
    url: { type: 'string' },
  },
})
const say = (text: string): void => {
  if (!values.json) console.log(text)
}
const plan: Plan = {
  seconds: Number(values.seconds ?? (values.quick ? 1 : 4)),
  rounds: Number(values.rounds ?? (values.quick ? 1 : 3)),
  cli: values.cli,
  url: values.url,
  note: (text) => say(`    ${text}`),
}

const wanted = BENCHMARKS.filter(({ id }) => positionals.length === 0 || positionals.includes(id))
const unknown = positionals.find((id) => !BENCHMARKS.some((one) => one.id === id))
if (unknown !== undefined) {
  console.error(`onnxd: no benchmark is called ${unknown}.`)
  process.exit(2)
}

endWhenAsked()

const before = machineFacts()
say(
  Object.entries(before)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n'),
)
const results: { id: string; title: string; figures: readonly Figure[]; skipped?: string }[] = []
for (const { id, title, missing, run } of wanted) {
  say(`\n${id}  ${title}`)
  const skipped = missing()
  if (skipped !== undefined) {
    say(`    skipped: ${skipped}`)
    results.push({ id, title, figures: [], skipped })
    continue
  }
  try {
    const figures = await run(plan)
    for (const figure of figures) say(`    ${figureLine(figure)}`)
    results.push({ id, title, figures })
  } catch (error) {
    process.exitCode = 1
    console.error(`    ${id} failed:`, error)
  }
}
if (values.json) console.log(JSON.stringify({ machine: before, plan, results }, null, 2))
