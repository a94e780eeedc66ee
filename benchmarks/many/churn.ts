/** B15: many more models than fit into memory, and the eviction policy against LRU. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../benchmark.ts'
import type { Benchmark, Figure, Plan } from '../benchmark.ts'
import { startServer } from '../server.ts'
import type { BenchServer } from '../server.ts'
import { SMALL_BODY, goodPredict, predict, temporaryFolder, writeStore } from './made-models.ts'
import { leastRecentlyUsed, ownPolicy, replay, zipf } from './replay.ts'
import type { Cost, Replayed } from './replay.ts'

const COUNT = 1000
/** Models that fit into memory, with the memory of one, MiB. */
const FITTING = 60
const MODEL_MIB = 30
const EXPONENT = 1.1
const SEED = 15
/** Requests per second. More would measure how fast processes start. */
const RATE = 5
/** Models that are surely loaded in the comparison without churn. */
const POPULAR = 20
/** The replay goes on with the same numbers after the recorded requests. */
const REPLAYED = 20_000

/** A request with its times in milliseconds since 1970. */
interface Sent {
  readonly model: number
  readonly from: number
  readonly until: number
  readonly ms: number
  readonly status: number
}

/** A line of the log about a model. */
interface Event {
  readonly time: number
  readonly isLoad: boolean
  readonly cost: Cost
}

export const churn: Benchmark = {
  id: 'B15',
  title: `${COUNT} small models, memory for ${FITTING}, Zipf(${EXPONENT}), ${RATE} requests a second`,
  missing: () => undefined,
  run: async (plan) => {
    const { folder, remove } = temporaryFolder()
    const logFile = path.join(folder, 'log')
    const store = path.join(folder, 'store')
    writeStore(store, COUNT)
    const args = ['--model-store', store, '--load', 'on-demand', '--workers', '1', '--threads', '1']
    const memory = ['--model-memory-mib', String(FITTING * MODEL_MIB), '--spare-workers', 'auto']
    const server = await startServer(plan.cli, [...args, ...memory], { logFile })
    try {
      const { calm, busy, seconds } = await load(server, plan)
      // Lines reach the file up to a quarter of a second late.
      await sleep(500)
      const events = eventsIn(logFile)
      plan.note(`seed ${SEED}; ${loadedIn(events)} models are loaded at the end`)
      return [...servedFigures(calm, busy, seconds, events), ...policyFigures(busy, events)]
    } finally {
      await server.stop()
      remove()
    }
  },
}

/** Requests to loaded models only, requests to all models, and again to loaded ones. */
async function load(
  server: BenchServer,
  { seconds, rounds }: Plan,
): Promise<{ calm: Sent[]; busy: Sent[]; seconds: number }> {
  const all = zipf(COUNT, EXPONENT, SEED)
  const popular = zipf(POPULAR, EXPONENT, SEED + 1)
  for (let model = FITTING - 1; model >= 0; model -= 1)
    await goodPredict(server.inference, nameOf(model), SMALL_BODY)
  const calmSeconds = Math.max(5, 2.5 * seconds * rounds)
  const before = await paced(server, popular, calmSeconds)
  const from = performance.now()
  const busy = await paced(server, all, 2.5 * calmSeconds)
  const passed = (performance.now() - from) / 1000
  const after = await paced(server, popular, calmSeconds)
  return { calm: [...before, ...after], busy, seconds: passed }
}

/** Sends requests at a fixed rate and waits for all responses. */
async function paced(server: BenchServer, next: () => number, seconds: number): Promise<Sent[]> {
  const begun = performance.now()
  const results: Promise<Sent>[] = []
  for (let count = 0; count < seconds * RATE; count += 1) {
    await sleep(Math.max(0, begun + (count * 1000) / RATE - performance.now()))
    results.push(send(server, next()))
  }
  return Promise.all(results)
}

async function send({ inference }: BenchServer, model: number): Promise<Sent> {
  const from = Date.now()
  const { ms, status } = await predict(inference, nameOf(model), SMALL_BODY)
  return { model, from, until: Date.now(), ms, status }
}

function nameOf(model: number): string {
  return `m${model + 1}`
}

/** Loads and unloads of each model, in order. */
function eventsIn(logFile: string): ReadonlyMap<string, readonly Event[]> {
  const events = new Map<string, Event[]>()
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    if (!/"msg":"model (?:loaded on demand|unloaded)"/.test(line)) continue
    const entry = JSON.parse(line) as {
      time: number
      model: string
      msg: string
      ms?: number
      memoryMib: number
    }
    const cost = { loadMs: entry.ms ?? 0, bytes: entry.memoryMib * 2 ** 20 }
    const list = events.get(entry.model) ?? []
    list.push({ time: entry.time, isLoad: entry.msg.includes('loaded on'), cost })
    events.set(entry.model, list)
  }
  return events
}

function loadedIn(events: ReadonlyMap<string, readonly Event[]>): number {
  return [...events.values()].filter((list) => list.at(-1)?.isLoad === true).length
}

/** Whether the model was loaded all the time from the request to the response. */
function isWarm(
  { model, from, until }: Sent,
  events: ReadonlyMap<string, readonly Event[]>,
): boolean {
  const list = events.get(nameOf(model)) ?? []
  const isLoaded = list.findLast(({ time }) => time < from)?.isLoad === true
  return isLoaded && !list.some(({ time }) => time >= from && time <= until)
}

function servedFigures(
  calm: readonly Sent[],
  busy: readonly Sent[],
  seconds: number,
  events: ReadonlyMap<string, readonly Event[]>,
): Figure[] {
  const good = busy.filter(({ status }) => status === 200)
  const warm = good.filter((sent) => isWarm(sent, events))
  const cold = good.filter((sent) => !isWarm(sent, events))
  const alone = calm.filter((sent) => sent.status === 200 && isWarm(sent, events))
  const errors = [...calm, ...busy].filter(({ status }) => status !== 200).length
  const ms = (what: string, value: number): Figure => ({ what, unit: 'ms', rounds: [value] })
  return [
    { what: 'errors', unit: '', rounds: [errors], goal: { atMost: 0 } },
    { what: 'answers a second', unit: '/s', rounds: [good.length / seconds] },
    { what: 'share served by a loaded model', unit: '', rounds: [warm.length / good.length] },
    ms('p50, loaded model', quantile(warm, 0.5)),
    ms('p99, loaded model', quantile(warm, 0.99)),
    ms('p99, loaded model, without churn', quantile(alone, 0.99)),
    {
      what: 'p99, loaded model, over that without churn',
      unit: '×',
      rounds: [quantile(warm, 0.99) / quantile(alone, 0.99)],
      goal: { atMost: 1.3 },
    },
    ms('p50, model not loaded', quantile(cold, 0.5)),
    ms('p99, model not loaded', quantile(cold, 0.99)),
  ]
}

function quantile(sent: readonly Sent[], share: number): number {
  const sorted = sent.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Both policies get the recorded requests with the measured load times and sizes. */
function policyFigures(
  busy: readonly Sent[],
  events: ReadonlyMap<string, readonly Event[]>,
): Figure[] {
  const loads = [...events.values()].flat().filter(({ isLoad }) => isLoad)
  const usual: Cost = {
    loadMs: median(loads.map(({ cost }) => cost.loadMs)),
    bytes: median(loads.map(({ cost }) => cost.bytes)),
  }
  const costs = Array.from({ length: COUNT }, (_, model) => {
    const own = (events.get(nameOf(model)) ?? []).filter(({ isLoad }) => isLoad)
    if (own.length === 0) return usual
    return {
      loadMs: median(own.map(({ cost }) => cost.loadMs)),
      bytes: median(own.map(({ cost }) => cost.bytes)),
    }
  })
  const costOf = (model: number): Cost => costs[model] ?? usual
  const next = zipf(COUNT, EXPONENT, SEED)
  const requests = Array.from({ length: Math.max(REPLAYED, busy.length) }, next)
  const capacity = FITTING * usual.bytes
  const own = replay(requests, costOf, capacity, ownPolicy())
  const other = replay(requests, costOf, capacity, leastRecentlyUsed())
  const of = (name: string, { hitRate, loadSeconds }: Replayed): Figure[] => [
    { what: `replay, share of loaded models, ${name}`, unit: '', rounds: [hitRate] },
    { what: `replay, time of all loads, ${name}`, unit: 's', rounds: [loadSeconds] },
  ]
  return [
    ...of('own policy', own),
    ...of('LRU', other),
    {
      what: 'replay, time of all loads over that of LRU',
      unit: '×',
      rounds: [own.loadSeconds / other.loadSeconds],
      goal: { atMost: 1 },
    },
  ]
}
