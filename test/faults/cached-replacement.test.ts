/** Block W: killed workers of a large model under load, with the weight cache and without. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { workersOf } from '../helpers/observe.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { layers } from '../helpers/weight-models.ts'
import { quantile, reportFigure } from './figures.ts'
import { size } from './harness.ts'
import { SteadyLoad, post } from './steady-load.ts'

const MODEL = 'layered'
/** A layer has 4 MiB of weights. */
const WIDTH = 1024
const BODY = JSON.stringify({ x: [Array.from({ length: WIDTH }, (_, index) => index / WIDTH)] })
const KILLS = size(1, 20)

/** Milliseconds from the death of one of two workers until two are ready again. */
async function killOne(server: TestServer): Promise<number> {
  const [victim] = await workersOf(server, MODEL)
  assert.ok(victim)
  const from = performance.now()
  process.kill(victim.pid, 'SIGKILL')
  await until(async () => {
    const workers = await workersOf(server, MODEL)
    return (
      workers.length === 2 &&
      workers.every(({ pid, status }) => pid !== victim.pid && status === 'READY')
    )
  })
  return performance.now() - from
}

async function weightsOf(server: TestServer): Promise<{ state: string; reason?: string }> {
  const response = await fetch(`${server.managementUrl}/models/${MODEL}/all`)
  const [description] = (await response.json()) as [{ weights: { state: string; reason?: string } }]
  return description.weights
}

test(
  'W01 W02 a killed worker whose weights are cached is replaced sooner, and no request is lost',
  { timeout: 600_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const file = path.join(folder, `${MODEL}.onnx`)
    writeFileSync(file, layers(WIDTH, size(4, 22)))
    const start = async (settings: object): Promise<[TestServer, SteadyLoad]> => {
      const server = await serve(t, [file], { workers: 2, ...settings })
      const url = `${server.inferenceUrl}/predictions/${MODEL}`
      const [, text] = await post(url, new http.Agent(), BODY)
      const load = new SteadyLoad({
        url,
        everyMs: 50,
        wish: () => ({ body: BODY, isRight: (status, seen) => status === 200 && seen === text }),
      })
      t.after(() => load.stop())
      return [server, load]
    }
    const cacheDir = path.join(folder, 'cache')
    const cached = await start({
      weightCache: 'auto',
      weightCacheMinMib: 1,
      cacheDir,
      spareWorkers: 1,
    })
    await until(async () => {
      const { state, reason } = await weightsOf(cached[0])
      assert.notEqual(state, 'private', reason)
      return state === 'shared'
    }, 120_000)
    const plain = await start({ weightCache: 'off', spareWorkers: 0 })
    const times: { cached: number[]; plain: number[] } = { cached: [], plain: [] }
    for (let kill = 0; kill < KILLS; kill += 1) {
      times.cached.push(await killOne(cached[0]))
      times.plain.push(await killOne(plain[0]))
    }
    const loads = [cached[1], plain[1]]
    for (const load of loads) await load.stop()
    const [ms, plainMs] = [quantile(times.cached, 0.5), quantile(times.plain, 0.5)]
    reportFigure(t, {
      what: 'killed worker of a 92 MB model replaced under load, cached weights over plain',
      goal: '≤ 0.5, 0 lost',
      seen: `${(ms / plainMs).toFixed(2)} (${ms.toFixed(0)} of ${plainMs.toFixed(0)} ms), ${loads.flatMap(({ problems }) => problems).length} of ${loads.reduce((sum, { sent }) => sum + sent, 0)} lost`,
      isMet: ms / plainMs <= 0.5 && loads.every(({ problems }) => problems.length === 0),
    })
    for (const { problems } of loads) assert.deepEqual(problems.slice(0, 3), [])
    for (const [server] of [cached, plain]) await server.close()
  },
)
