/**
 * B14: what a spare worker saves at a load, after the death of a worker, and, with the weight cache,
 * at a request to a model that is not loaded.
 */
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather, median } from './benchmark.ts'
import type { Benchmark, Figure, Plan } from './benchmark.ts'
import { coldRequests } from './many/cold-request.ts'
import { startServer } from './server.ts'
import type { BenchServer } from './server.ts'

const MODEL = 'mnist.onnx'
const BODY = floats(784)
const EVENTS_PER_SECOND = 3
const ARGS = ['--workers', '1', '--threads', '1', '--allow-local-paths']

type Kind = 'spare' | 'plain'

/** Milliseconds of all loads, or of all kills, of one server in one round. */
interface Times {
  readonly loads: number[]
  readonly kills: number[]
}

export const spareWorkers: Benchmark = {
  id: 'B14',
  title: 'a load, a kill and a cold request, with a spare worker or the weight cache and without',
  missing: () => missingModels(MODEL),
  run: async (plan) => [...(await loadsAndKills(plan)), ...(await coldRequests(plan))],
}

async function loadsAndKills({ cli, rounds, seconds }: Plan): Promise<readonly Figure[]> {
  const servers: Record<Kind, BenchServer> = {
    spare: await startServer(cli, [...ARGS, '--spare-workers', '1', modelFile(MODEL)]),
    plain: await startServer(cli, [...ARGS, '--spare-workers', '0', modelFile(MODEL)]),
  }
  try {
    const of = await gather(rounds, async () => {
      const times: Record<Kind, Times> = {
        spare: { loads: [], kills: [] },
        plain: { loads: [], kills: [] },
      }
      for (let count = 0; count < seconds * EVENTS_PER_SECOND; count += 1) {
        for (const kind of ['spare', 'plain'] as const) {
          await settle(servers[kind], kind)
          times[kind].loads.push(await load(servers[kind]))
          await settle(servers[kind], kind)
          times[kind].kills.push(await kill(servers[kind]))
        }
      }
      return figuresOf(times)
    })
    const ms = (what: string, values: number[]): Figure => ({ what, unit: 'ms', rounds: values })
    return [
      ms('load, with a spare worker', of('loadSpare')),
      ms('load, without', of('loadPlain')),
      { what: 'load, with over without', unit: '', rounds: of('load'), goal: { atMost: 0.5 } },
      ms('SIGKILL to the first answer, p50, with a spare worker', of('p50Spare')),
      ms('SIGKILL to the first answer, p50, without', of('p50Plain')),
      ms('SIGKILL to the first answer, p99, with a spare worker', of('p99Spare')),
      ms('SIGKILL to the first answer, p99, without', of('p99Plain')),
      {
        what: 'SIGKILL, p50, with over without',
        unit: '',
        rounds: of('kill'),
        goal: { atMost: 0.5 },
      },
    ]
  } finally {
    await Promise.all(Object.values(servers).map((server) => server.stop()))
  }
}

function figuresOf({ spare, plain }: Record<Kind, Times>): Record<string, number> {
  const [loadSpare, loadPlain] = [median(spare.loads), median(plain.loads)]
  const [p50Spare, p50Plain] = [median(spare.kills), median(plain.kills)]
  return {
    loadSpare,
    loadPlain,
    load: loadSpare / loadPlain,
    p50Spare,
    p50Plain,
    p99Spare: p99(spare.kills),
    p99Plain: p99(plain.kills),
    kill: p50Spare / p50Plain,
  }
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? Number.NaN
}

/** Waits until the server has all its processes. */
async function settle(server: BenchServer, kind: Kind): Promise<void> {
  const pattern =
    kind === 'spare' ? /onnxd_spare_workers\{state="ready"\} 1/ : /onnxd_workers\{.*"ready"\} 1/
  for (;;) {
    const page = await (await fetch(`${server.management}/metrics`)).text()
    if (pattern.test(page)) return
    await sleep(20)
  }
}

/** Milliseconds to register the model under another name, with a worker. */
async function load(server: BenchServer): Promise<number> {
  const query = new URLSearchParams({
    url: modelFile(MODEL),
    model_name: 'cold',
    initial_workers: '1',
    synchronous: 'true',
  })
  const from = performance.now()
  await expectOk(fetch(`${server.management}/models?${query.toString()}`, { method: 'POST' }))
  const ms = performance.now() - from
  await expectOk(fetch(`${server.management}/models/cold`, { method: 'DELETE' }))
  return ms
}

/** Milliseconds from the kill of the worker to the response of the next one. */
async function kill(server: BenchServer): Promise<number> {
  const { workers } = (await (await fetch(`${server.management}/models/mnist`)).json()) as {
    workers: { pid: number }[]
  }
  const [worker] = workers
  if (worker === undefined) throw new Error('the model has no worker')
  const from = performance.now()
  process.kill(worker.pid, 'SIGKILL')
  const init = { method: 'POST', headers: OCTETS, body: BODY }
  await expectOk(fetch(`${server.inference}/predictions/mnist`, init))
  return performance.now() - from
}

async function expectOk(request: Promise<Response>): Promise<void> {
  const response = await request
  const text = await response.text()
  if (!response.ok) throw new Error(`status ${response.status}: ${text}`)
}
