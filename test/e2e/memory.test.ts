/** A worker's memory limit costs the request that goes over it, nothing else. */
import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { largeFile } from '../helpers/large-file.ts'
import { workerPids, workersOf } from '../helpers/observe.ts'
import { isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'

test(
  'workers are recycled after so many requests without a failed one, the fresh worker first',
  { skip: oneProcess('the worker that gets a request'), timeout: 60_000 },
  async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool')], {
      allowHandlers: true,
      recycleAfterRequests: 20,
    })
    const pids = new Set<number>()
    const statuses = new Set<number>()
    await until(async () => {
      const answer = await server.fetch('/predictions/tool', {
        method: 'POST',
        body: 'pid',
        headers: { 'content-type': 'text/plain' },
      })
      statuses.add(answer.status)
      pids.add(((await json(answer)) as { pid: number }).pid)
      return pids.size === 3
    }, 30_000)
    assert.deepEqual([...statuses], [200])
    const [first = 0, , last = 0] = [...pids]
    await until(() => !isAlive(first))
    assert.ok(isAlive(last))
    assert.equal((await workersOf(server, 'tool')).length, 1)
    await server.close()
    const reasons = server.logLines
      .filter(({ msg }) => msg === 'recycling worker')
      .map(({ reason }) => reason)
    assert.deepEqual(new Set(reasons), new Set(['requests']))
  },
)

test(
  'a worker is recycled by its age, and by the memory it holds',
  { timeout: 60_000 },
  async (t) => {
    for (const settings of [{ recycleAfterSeconds: 1 }, { recycleAboveMib: 10 }]) {
      const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, ...settings })
      const [first = 0] = await workerPids(server, 'tool')
      await until(() => !isAlive(first), 20_000)
      await server.close()
    }
  },
)

test(
  'workers that would not fit in the memory that is left are not added; what was measured replaces the estimate',
  { skip: oneProcess('the memory of its own workers'), timeout: 60_000 },
  async (t) => {
    const folder = path.join(temporaryFolder(t), 'iris')
    cpSync(path.resolve('examples/iris'), folder, { recursive: true })
    const server = await serve(t, [folder], { checkMemory: true, workers: 0 })
    const scale = async (query: string): Promise<[number, string]> => {
      const answer = await server.manage(`/models/iris?${query}`, { method: 'PUT' })
      return [answer.status, await answer.text()]
    }
    const weights = largeFile(folder)
    for (const query of ['min_worker=2', 'min_worker=2&synchronous=true']) {
      const [status, text] = await scale(query)
      assert.equal(status, 507, text)
      assert.match(text, /"InsufficientMemoryException"/)
      assert.match(text, /iris needs about \d+ MiB of memory for 2 workers; \d+ MiB are left/)
      assert.deepEqual(await workerPids(server, 'iris'), [])
    }
    rmSync(weights)
    assert.equal((await scale('min_worker=1&synchronous=true'))[0], 200)
    const before = await workerPids(server, 'iris')
    // A file that the running worker did not load does not count for the next one.
    largeFile(folder)
    assert.equal((await scale('min_worker=2&synchronous=true'))[0], 200)
    const after = await workerPids(server, 'iris')
    assert.deepEqual([after.length, after.includes(before[0] ?? 0)], [2, true])
  },
)
