/** B13: memory and load time of several workers of one model, with shared weights and without. */
import { copyFileSync, existsSync } from 'node:fs'
import path from 'node:path'
import { floats, modelFile } from '../bench-models.ts'
import { gather, median } from '../benchmark.ts'
import type { Benchmark, Figure } from '../benchmark.ts'
import { memoryOf, startServer } from '../server.ts'
import type { BenchServer, ProcessMemory } from '../server.ts'
import { whenShared } from './cold-request.ts'
import { LARGE_BODY, goodPredict, temporaryFolder, writeLargeModel } from './made-models.ts'

const COUNTS = [1, 2, 4, 8]
/** Fewer for the second model, so that the benchmark ends within three minutes. */
const FEW_COUNTS = [1, 4]
const MODES = ['shared', 'plain'] as const
type Mode = (typeof MODES)[number]

interface Subject {
  readonly name: string
  readonly file: string
  readonly body: Buffer
  /** Numbers of workers. */
  readonly counts: readonly number[]
}

/** One load of a model with some workers. */
interface Load {
  /** The first load in a server, which checks the entry of the cache. */
  readonly firstMs: number
  /** The next load in the same server. */
  readonly nextMs: number
  readonly workers: readonly ProcessMemory[]
}

export const sharedWeights: Benchmark = {
  id: 'B13',
  title: `${COUNTS.join(', ')} workers of one model, weights from the cache and plain, in turns`,
  missing: () => undefined,
  run: async ({ cli, rounds, note }) => {
    const { folder, remove } = temporaryFolder()
    try {
      const subjects = subjectsIn(folder)
      const figures: Figure[] = []
      for (const subject of subjects) {
        const place = { cli, cacheDir: path.join(folder, 'cache') }
        await measure(place, subject, 'shared', 1)
        note(`${subject.name}: the entry of the cache is built`)
        figures.push(...(await figuresOf(place, subject, rounds)))
      }
      return figures
    } finally {
      remove()
    }
  },
}

function subjectsIn(folder: string): Subject[] {
  const own = path.join(folder, 'large.onnx')
  writeLargeModel(own)
  const subjects = [{ name: '92 MB', file: own, body: LARGE_BODY, counts: COUNTS }]
  const known = modelFile('mlp_big.onnx')
  if (!existsSync(known)) return subjects
  const copy = path.join(folder, 'mlp_big.onnx')
  copyFileSync(known, copy)
  return [
    ...subjects,
    { name: 'mlp_big, 23 MB', file: copy, body: floats(784), counts: FEW_COUNTS },
  ]
}

interface Place {
  readonly cli: string
  readonly cacheDir: string
}

async function figuresOf(place: Place, subject: Subject, rounds: number): Promise<Figure[]> {
  const of = await gather(rounds, async () => {
    const row: Record<string, number> = {}
    const totals: Record<Mode, number[]> = { shared: [], plain: [] }
    for (const count of subject.counts) {
      const loads: Partial<Record<Mode, Load>> = {}
      for (const mode of MODES) {
        const load = await measure(place, subject, mode, count)
        loads[mode] = load
        totals[mode].push(sumOf(load.workers, 'proportional'))
        row[`${mode} own ${count}`] = median(load.workers.map(({ own }) => own))
        row[`${mode} anonymous ${count}`] = median(load.workers.map(({ anonymous }) => anonymous))
        row[`${mode} first ${count}`] = load.firstMs
        row[`${mode} next ${count}`] = load.nextMs
      }
      row[`first ${count}`] = (loads.shared?.firstMs ?? 0) / (loads.plain?.firstMs ?? 0)
      row[`next ${count}`] = (loads.shared?.nextMs ?? 0) / (loads.plain?.nextMs ?? 0)
    }
    for (const mode of MODES) row[`${mode} growth`] = growthOf(totals[mode], subject.counts)
    return row
  })
  const { name, counts } = subject
  const most = counts.at(-1) ?? 1
  return [
    ...MODES.flatMap((mode) => [
      {
        what: `${name}: memory of each further worker, ${mode}`,
        unit: 'MiB',
        rounds: of(`${mode} growth`),
        ...(mode === 'shared' && { goal: { atMost: 25 } }),
      },
      {
        what: `${name}: own pages of a worker of ${most}, ${mode}`,
        unit: 'MiB',
        rounds: of(`${mode} own ${most}`),
      },
      {
        what: `${name}: of them no file, ${mode}`,
        unit: 'MiB',
        rounds: of(`${mode} anonymous ${most}`),
      },
    ]),
    ...counts.flatMap((count) => [
      ...MODES.map((mode) => ({
        what: `${name}: load of ${count}, ${mode}`,
        unit: 'ms',
        rounds: of(`${mode} next ${count}`),
      })),
      {
        what: `${name}: load of ${count}, shared over plain`,
        unit: '',
        rounds: of(`next ${count}`),
        goal: { atMost: 0.5 },
      },
      {
        what: `${name}: first load of ${count} after a start, over plain`,
        unit: '',
        rounds: of(`first ${count}`),
      },
    ]),
  ]
}

/** Memory of all workers together that each worker after the first adds. */
function growthOf(totals: readonly number[], counts: readonly number[]): number {
  const [first = Number.NaN, last = Number.NaN] = [totals[0], totals.at(-1)]
  return (last - first) / ((counts.at(-1) ?? 1) - (counts[0] ?? 1))
}

function sumOf(workers: readonly ProcessMemory[], key: keyof ProcessMemory): number {
  return workers.reduce((sum, memory) => sum + memory[key], 0)
}

/** Loads the model twice in a new server, and reads the memory after some requests. */
async function measure(
  { cli, cacheDir }: Place,
  { file, body }: Subject,
  mode: Mode,
  count: number,
): Promise<Load> {
  const cache = mode === 'shared' ? 'auto' : 'off'
  const args = ['--allow-local-paths', '--threads', '1', '--cache-dir', cacheDir]
  const server = await startServer(cli, [...args, '--weight-cache', cache, '--load', 'none'])
  try {
    const firstMs = await register(server, file, count)
    // One worker does not wait for a new entry, and an unload would end its build.
    if (mode === 'shared') await whenShared(server, 'm')
    const removed = await fetch(`${server.management}/models/m`, { method: 'DELETE' })
    if (!removed.ok) throw new Error(`status ${removed.status}: ${await removed.text()}`)
    const nextMs = await register(server, file, count)
    // Each worker has to run, so that it has its working memory.
    for (let turn = 0; turn < 3; turn += 1) {
      const requests = Array.from({ length: 4 * count }, () =>
        goodPredict(server.inference, 'm', body),
      )
      await Promise.all(requests)
    }
    return { firstMs, nextMs, workers: server.workers().map(memoryOf) }
  } finally {
    await server.stop()
  }
}

async function register(server: BenchServer, file: string, count: number): Promise<number> {
  const query = new URLSearchParams({
    url: file,
    model_name: 'm',
    initial_workers: String(count),
    synchronous: 'true',
  })
  const from = performance.now()
  const url = `${server.management}/models?${query.toString()}`
  const response = await fetch(url, { method: 'POST' })
  const text = await response.text()
  if (!response.ok) throw new Error(`status ${response.status}: ${text}`)
  return performance.now() - from
}
