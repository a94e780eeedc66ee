/** Spare workers of a server: processes that wait for a model. */
import { allWorkerPids } from './observe.ts'
import { childrenOf, until } from './server.ts'
import type { TestServer } from './server.ts'

/** Process ids of the spare workers, starting ones included, in ascending order. */
export async function sparePids(server: TestServer): Promise<number[]> {
  const workers = await allWorkerPids(server)
  return childrenOf(server.pid)
    .filter((pid) => !workers.includes(pid))
    .toSorted((a, b) => a - b)
}

/** Waits until the server has `count` spare workers that are ready, and no process besides. */
export function readySpares(server: TestServer, count: number): Promise<number[]> {
  return until(async () => {
    if ((await metricOf(server, 'onnxd_spare_workers', 'ready')) !== count) return false
    const spares = await sparePids(server)
    return spares.length === count && spares
  })
}

/** Waits until the server has exactly one spare worker, which is ready. */
export async function readySpare(server: TestServer): Promise<number> {
  const [pid = 0] = await readySpares(server, 1)
  return pid
}

/** How many spare workers the server says it has, starting ones included. */
export async function spareCount(server: TestServer): Promise<number> {
  const of = (state: string): Promise<number> => metricOf(server, 'onnxd_spare_workers', state)
  return (await of('starting')) + (await of('ready'))
}

/** Workers that were started so far, by their process. */
export async function workerStarts(server: TestServer): Promise<{ plain: number; spare: number }> {
  const of = (kind: string): Promise<number> => metricOf(server, 'onnxd_worker_starts_total', kind)
  return { plain: await of('plain'), spare: await of('spare') }
}

async function metricOf(server: TestServer, name: string, label: string): Promise<number> {
  const page = await (await server.manage(`/metrics?name[]=${name}`)).text()
  return Number(new RegExp(`^${name}\\{\\w+="${label}"\\} (\\d+)$`, 'm').exec(page)?.[1])
}
