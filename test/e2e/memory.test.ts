/** A worker's memory limit costs the request that goes over it, nothing else. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { isAlive, json, needsShared, serve, shared, until } from '../helpers/server.ts'

const MIB = 1024 * 1024

test(
  'a request that asks for more memory than a worker may have is 507, and the worker goes on',
  { skip: needsShared },
  async (t) => {
    const file = path.join(shared ?? '', 'hostile', 'onnx', 'shape_input.onnx')
    const server = await serve(t, [`fill=${file}`], { workerMemoryMib: 700 })
    assert.deepEqual(server.failed, [])
    const { metadata, workers } = (await json(await server.manage('/models/fill'))) as {
      metadata: { inputs: { name: string }[] }
      workers: { pid: number }[]
    }
    const input = metadata.inputs[0]?.name ?? ''
    const ask = (shape: number[]): Promise<Response> =>
      server.fetch('/predictions/fill', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/octet-stream' },
        body: JSON.stringify({ [input]: shape }),
      })
    const small = await ask([6])
    assert.equal(small.status, 200, await small.clone().text())
    const huge = await ask([1_600_000_000])
    assert.equal(huge.status, 507, await huge.clone().text())
    assert.equal(((await json(huge)) as { type: string }).type, 'InsufficientMemoryException')
    assert.equal((await ask([6])).status, 200)
    const after = (await json(await server.manage('/models/fill'))) as {
      workers: { pid: number }[]
    }
    assert.equal(after.workers[0]?.pid, workers[0]?.pid)
  },
)

test(
  'workers are recycled after so many requests without a failed one, the fresh worker first',
  { timeout: 60_000 },
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
    assert.equal(server.registry.get('tool').pool.slots.length, 1)
    const reasons = server.logLines
      .filter(({ msg }) => msg === 'recycling a worker')
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
      const first = server.registry.get('tool').pool.slots[0]?.worker.pid ?? 0
      await until(() => !isAlive(first), 20_000)
      await server.close()
    }
  },
)

test(
  'workers that would not fit in the memory that is left are not added, and those that run go on',
  { timeout: 60_000 },
  async (t) => {
    let left = 500 * MIB
    const server = await serve(
      t,
      [path.resolve('examples/iris')],
      { checkMemory: true },
      { availableMemory: () => Promise.resolve(left) },
    )
    assert.deepEqual(server.failed, [])
    const shown = async (): Promise<unknown> => {
      const { minWorkers, maxWorkers, workers } = (await json(
        await server.manage('/models/iris'),
      )) as { minWorkers: number; maxWorkers: number; workers: { pid: number }[] }
      return { minWorkers, maxWorkers, pids: workers.map(({ pid }) => pid) }
    }
    const scale = (query: string): Promise<Response> =>
      server.manage(`/models/iris?${query}`, { method: 'PUT' })
    const before = await shown()
    left = 150 * MIB
    for (const query of ['min_worker=3', 'min_worker=3&synchronous=true']) {
      const refused = await scale(query)
      assert.equal(refused.status, 507)
      assert.deepEqual(await json(refused), {
        code: 507,
        type: 'InsufficientMemoryException',
        message: 'Model iris needs about 200 MiB of memory for 2 more workers; 150 MiB are left.',
      })
      assert.deepEqual(await shown(), before)
    }
    // One more fits. The second request finds it there already, the third comes after both.
    const answers = await Promise.all([
      scale('min_worker=2&synchronous=true'),
      scale('min_worker=2&synchronous=true'),
      scale('min_worker=3'),
    ])
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 507],
    )
    left = 0
    assert.equal((await scale('min_worker=2&synchronous=true')).status, 200)
    assert.equal((await scale('min_worker=1&synchronous=true')).status, 200)
    assert.deepEqual(await shown(), before)
  },
)
