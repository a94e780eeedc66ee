/** Spare workers: processes that are started before their model is known. */
import assert from 'node:assert/strict'
import { cpSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { workerPids } from '../helpers/observe.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import {
  childrenOf,
  isAlive,
  json,
  runtimeFolder,
  serve,
  temporaryFolder,
  until,
} from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { readySpare, readySpares, sparePids, workerStarts } from '../helpers/spares.ts'

const DEFAULT = { environment: { ONNXD_SPARE_WORKERS: undefined } }

/** Registers a model, by default the example, under a name. */
async function register(server: TestServer, name: string, url = iris): Promise<Response> {
  const query = new URLSearchParams({ url, model_name: name, initial_workers: '1' })
  return server.manage(`/models?${query.toString()}`, { method: 'POST' })
}

/** The same, and returns the process id of its worker. */
async function registered(server: TestServer, name: string, url = iris): Promise<number> {
  const response = await register(server, name, url)
  assert.equal(response.status, 200, await response.text())
  const [pid] = await workerPids(server, name)
  assert.ok(pid !== undefined)
  return pid
}

async function assertServes(server: TestServer, name: string): Promise<void> {
  const response = await server.fetch(`/predictions/${name}`, FLOWER)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  assert.match(text, /"label":\["setosa"\],"probabilities":\[\[0\.9972/)
}

/** The example model with other settings. */
function irisWith(t: TestContext, settings: object): string {
  const folder = path.join(temporaryFolder(t), 'iris')
  cpSync(iris, folder, { recursive: true })
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(settings))
  return folder
}

/** Whether a process has loaded onnxruntime. */
const hasRuntime = (pid: number): boolean =>
  readFileSync(`/proc/${pid}/maps`, 'utf8').includes('onnxruntime')

const threadsOf = (pid: number): number => readdirSync(`/proc/${pid}/task`).length

test(
  'by default a loaded model is followed by one spare worker, which a load and a restart use',
  { skip: oneProcess('its spare workers') },
  async (t) => {
    const server = await serve(t, [], { allowLocalPaths: true }, DEFAULT)
    assert.deepEqual(childrenOf(server.pid), [], 'without a model there is none')
    await registered(server, 'first')
    const spare = await readySpare(server)
    assert.equal(readlinkSync(`/proc/${spare}/cwd`).startsWith(runtimeFolder(server)), true)
    assert.deepEqual(await workerStarts(server), { plain: 1, spare: 0 })

    assert.equal(await registered(server, 'second'), spare)
    await assertServes(server, 'second')
    assert.equal(readlinkSync(`/proc/${spare}/cwd`), iris)
    const next = await readySpare(server)
    assert.notEqual(next, spare)

    process.kill(spare, 'SIGKILL')
    await assertServes(server, 'second')
    assert.deepEqual(await workerPids(server, 'second'), [next])
    assert.notEqual(await readySpare(server), next)
    assert.deepEqual(await workerStarts(server), { plain: 1, spare: 2 })

    const ofSpare = await server.logged(
      ({ msg, line }) => msg === 'spare worker output' && line === `[PID] ${next}`,
    )
    assert.deepEqual([ofSpare.model, ofSpare.worker], [undefined, undefined])
    const accepted = await server.logged(
      ({ model, line }) => model === 'second' && String(line).startsWith('Connection accepted'),
    )
    assert.deepEqual([accepted.msg, accepted.version, accepted.worker], ['worker output', '1.0', 1])
  },
)

test('a spare worker applies the settings of its model as any other', async (t) => {
  const settings = {
    allowLocalPaths: true,
    threads: 3,
    graphOptimization: 'basic',
    providers: ['cpu'],
    maxResponseBytes: 100,
    joinBatches: 'never',
  }
  const model = irisWith(t, { maxBatchSize: 2, batchSize: 4 })
  const seen: unknown[] = []
  for (const spareWorkers of [1, 0]) {
    const server = await serve(t, [], { ...settings, spareWorkers })
    const [spare] = await readySpares(server, spareWorkers)
    const pid = await registered(server, 'iris', model)
    if (spare !== undefined) assert.equal(pid, spare)
    const oneRow = await server.fetch('/predictions/iris', FLOWER)
    const [row] = (JSON.parse(FLOWER.body) as { features: unknown[] }).features
    const rows = (count: number): RequestInit => ({
      ...FLOWER,
      body: JSON.stringify({ features: Array.from({ length: count }, () => row) }),
    })
    const [twoRows, threeRows] = await Promise.all(
      [2, 3].map((count) => server.fetch('/predictions/iris', rows(count))),
    )
    assert.ok(twoRows && threeRows)
    assert.deepEqual([oneRow.status, twoRows.status, threeRows.status], [200, 507, 400])
    const { settings: shown, metadata } = (await json(
      await server.manage('/models/iris'),
    )) as Record<string, unknown>
    assert.match(
      JSON.stringify(metadata),
      /"providers":\["cpu"\].*The setting joinBatches is .*never/,
    )
    seen.push([threadsOf(pid), shown, metadata, await oneRow.text(), await threeRows.text()])
    await server.close()
  }
  assert.deepEqual(seen[0], seen[1])
})

test(
  'custom handlers get no spare worker, a failed load ends one, and of two loads one gets it',
  { skip: oneProcess('its spare workers') },
  async (t) => {
    const tool = handlerModel(t, 'tool')
    const server = await serve(t, [], {
      allowLocalPaths: true,
      allowHandlers: true,
      spareWorkers: 1,
    })
    const first = await readySpare(server)
    const custom = await registered(server, 'tool', tool)
    assert.notEqual(custom, first)
    assert.deepEqual([hasRuntime(first), hasRuntime(custom)], [true, false])
    assert.deepEqual(await sparePids(server), [first])

    const broken = irisWith(t, { providers: ['nonsense'] })
    const response = await register(server, 'broken', broken)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /Execution provider .*nonsense.* is not available in this/)
    await until(() => !isAlive(first))
    assert.deepEqual(await workerStarts(server), { plain: 1, spare: 1 })

    const spare = await readySpare(server)
    const pids = await Promise.all([registered(server, 'a'), registered(server, 'b')])
    assert.equal(pids.filter((pid) => pid === spare).length, 1)
    await Promise.all([assertServes(server, 'a'), assertServes(server, 'b')])
    assert.deepEqual(await workerStarts(server), { plain: 2, spare: 2 })
    await readySpare(server)
  },
)

/** Starts a server with spare workers and returns their pids. */
async function withSpares(t: TestContext): Promise<{ server: TestServer; spares: number[] }> {
  const server = await serve(t, [], { spareWorkers: 2 })
  return { server, spares: await readySpares(server, 2) }
}

test('spare workers end with their server, however that ends', async (t) => {
  const stopped = await withSpares(t)
  const killed = await withSpares(t)
  await Promise.all([stopped.server.close(), killed.server.kill()])
  assert.deepEqual(stopped.spares.filter(isAlive), [])
  await until(() => killed.spares.every((pid) => !isAlive(pid)), 5000)
})
