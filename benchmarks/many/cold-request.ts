/** The part of B14 about requests to models that are not loaded. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gather, median } from '../benchmark.ts'
import type { Figure, Plan } from '../benchmark.ts'
import { startServer } from '../server.ts'
import type { BenchServer } from '../server.ts'
import {
  LARGE_BODY,
  SMALL_BODY,
  goodPredict,
  temporaryFolder,
  writeLargeModel,
  writeStore,
} from './made-models.ts'

const GOAL = { atMost: 0.4 }

/** A server with a store of one small and one large model, each unloaded after a second. */
interface Site {
  readonly server: BenchServer
  readonly spares: number
}

/** Requests to a small model with a spare worker and to a large one in the cache, over plain. */
export async function coldRequests({ cli, rounds, seconds }: Plan): Promise<readonly Figure[]> {
  const { folder, remove } = temporaryFolder()
  const sites: Site[] = []
  try {
    const store = path.join(folder, 'store')
    mkdirSync(store)
    writeStore(store, 1)
    writeLargeModel(path.join(store, 'large', 'model.onnx'))
    const start = async (spares: number, cache: 'auto' | 'off'): Promise<Site> => {
      const models = ['--model-store', store, '--load', 'on-demand', '--unload-after-seconds', '1']
      const workers = ['--workers', '1', '--threads', '1', '--spare-workers', String(spares)]
      const weights = ['--weight-cache', cache, '--cache-dir', path.join(folder, 'cache')]
      const server = await startServer(cli, [...models, ...workers, ...weights])
      const site = { server, spares }
      sites.push(site)
      return site
    }
    const [spare, cached, plain] = [
      await start(1, 'auto'),
      await start(0, 'auto'),
      await start(0, 'off'),
    ]
    // The entry of the cache is built or checked in the background, for the next load.
    for (const { server } of [spare, cached]) {
      await goodPredict(server.inference, 'large', LARGE_BODY)
      await whenShared(server, 'large')
    }
    const of = await gather(rounds, async () => {
      const times: Record<string, number[]> = {}
      const measure = async (name: string, site: Site, model: string): Promise<void> => {
        await whenUnloaded(site)
        const body = model === 'large' ? LARGE_BODY : SMALL_BODY
        times[name] ??= []
        times[name].push(await goodPredict(site.server.inference, model, body))
      }
      for (let turn = 0; turn < Math.max(2, seconds); turn += 1) {
        await measure('small spare', spare, 'm1')
        await measure('small plain', plain, 'm1')
        await measure('large cached', cached, 'large')
        await measure('large spare', spare, 'large')
        await measure('large plain', plain, 'large')
      }
      return ratiosOf(times)
    })
    const ms = (what: string, name: string): Figure => ({ what, unit: 'ms', rounds: of(name) })
    const ratio = (what: string, name: string, goal?: typeof GOAL): Figure => ({
      what,
      unit: '',
      rounds: of(name),
      ...(goal && { goal }),
    })
    return [
      ms('cold request, small model, with a spare worker', 'small spare'),
      ms('cold request, small model, plain', 'small plain'),
      ratio('cold request, small model, spare worker over plain', 'small', GOAL),
      ms('cold request, 92 MB in the cache, with a spare worker', 'large spare'),
      ms('cold request, 92 MB in the cache', 'large cached'),
      ms('cold request, 92 MB, plain', 'large plain'),
      ratio('cold request, 92 MB, cache and spare over plain', 'large', GOAL),
      ratio('cold request, 92 MB, cache alone over plain', 'cache'),
    ]
  } finally {
    await Promise.all(sites.map(({ server }) => server.stop()))
    remove()
  }
}

function ratiosOf(times: Readonly<Record<string, readonly number[]>>): Record<string, number> {
  const medians = Object.fromEntries(
    Object.entries(times).map(([name, values]) => [name, median(values)]),
  )
  const over = (one: string, other: string): number =>
    (medians[one] ?? Number.NaN) / (medians[other] ?? Number.NaN)
  return {
    ...medians,
    small: over('small spare', 'small plain'),
    large: over('large spare', 'large plain'),
    cache: over('large cached', 'large plain'),
  }
}

/** Waits until the server has no worker but its spare ones, which are ready. */
async function whenUnloaded({ server, spares }: Site): Promise<void> {
  for (;;) {
    const page = await (await fetch(`${server.management}/metrics`)).text()
    const ready = Number(/^onnxd_spare_workers\{state="ready"\} (\d+)$/m.exec(page)?.[1] ?? 0)
    if (ready === spares && server.workers().length === spares) return
    await sleep(50)
  }
}

export async function whenShared({ management }: BenchServer, model: string): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${management}/models/${model}/all`)).text()
    if (/"state": ?"shared"/.test(text)) return
    if (/"state": ?"private"/.test(text)) throw new Error(`the weights are not shared: ${text}`)
    await sleep(50)
  }
}
