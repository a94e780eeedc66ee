/** What fits in the memory that is left, and how much that is. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { completeConfig } from '../../../src/config/config.ts'
import { ServerError, messageOf } from '../../../src/errors.ts'
import {
  MeasuredWorkers,
  MemoryGuard,
  availableBytes,
} from '../../../src/models/workers/memory-guard.ts'
import type { WorkerNeeds } from '../../../src/models/workers/memory-guard.ts'
import { startServer } from '../../../src/server.ts'

const MIB = 1024 * 1024

/** A folder with these files, as the root of a system or of a model. */
function filesIn(t: TestContext, files: Record<string, string | Buffer>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'onnxd-memory-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), content)
  }
  return root
}

const meminfo =
  'MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:   4000000 kB\n'

test('what is left is the least of the machine and of the control group, whose cached files do not count', async (t) => {
  const cases: [expected: number, files: Record<string, string>][] = [
    [Number.POSITIVE_INFINITY, {}],
    [4_000_000 * 1024, { 'proc/meminfo': meminfo }],
    [
      4_000_000 * 1024,
      {
        'proc/meminfo': meminfo,
        'sys/fs/cgroup/memory.max': 'max\n',
        'sys/fs/cgroup/memory.current': '12345\n',
      },
    ],
    [
      300 * MIB,
      {
        'proc/meminfo': meminfo,
        'sys/fs/cgroup/memory.max': `${1000 * MIB}\n`,
        'sys/fs/cgroup/memory.current': `${900 * MIB}\n`,
        'sys/fs/cgroup/memory.stat': `anon 5\ninactive_file ${200 * MIB}\nactive_file 7\n`,
      },
    ],
    [
      100 * MIB,
      {
        'proc/meminfo': meminfo,
        'proc/self/cgroup': '0::/system.slice/onnxd.service\n',
        'sys/fs/cgroup/system.slice/onnxd.service/memory.max': `${500 * MIB}\n`,
        'sys/fs/cgroup/system.slice/onnxd.service/memory.current': `${400 * MIB}\n`,
      },
    ],
    [
      50 * MIB,
      {
        'proc/meminfo': meminfo,
        'sys/fs/cgroup/memory/memory.limit_in_bytes': `${100 * MIB}\n`,
        'sys/fs/cgroup/memory/memory.usage_in_bytes': `${80 * MIB}\n`,
        'sys/fs/cgroup/memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${30 * MIB}\n`,
      },
    ],
  ]
  for (const [expected, files] of cases) {
    assert.equal(await availableBytes(filesIn(t, files)), expected, Object.keys(files).join(' '))
  }
  assert.ok((await availableBytes()) > 0, 'of this machine')
})

test('workers are admitted where there is room for them, and those that are being started count', async (t) => {
  const modelPath = filesIn(t, { 'model.onnx': Buffer.alloc(MIB), 'w/data': Buffer.alloc(MIB) })
  const model = { name: 'm', modelPath }
  // Twice two MiB and a hundred, for each worker.
  const guard = new MemoryGuard(() => Promise.resolve(104 * 2 * MIB))
  const releaseBoth = await guard.admit(model, 2)
  releaseBoth()
  await assert.rejects(
    guard.admit(model, 3),
    (error: unknown) =>
      error instanceof ServerError &&
      error.statusCode === 507 &&
      error.message === 'Model m needs about 312 MiB of memory for 3 workers; 208 MiB are left.',
  )
  const releaseFirst = await guard.admit(model, 1)
  const releaseSecond = await guard.admit(model, 1, 1)
  releaseSecond()
  await assert.rejects(guard.admit(model, 2, 1), /for 2 more workers; 104 MiB are left/)
  releaseFirst()
  await guard.admit(model, 2)
})

test('measured memory replaces the estimate, and files that workers share count once', async (t) => {
  const modelPath = filesIn(t, { 'model.onnx': Buffer.alloc(MIB) })
  const model = { name: 'm', modelPath }
  const guard = new MemoryGuard(() => Promise.resolve(0))
  const needed = async (...args: [added: number, existing: number, WorkerNeeds]): Promise<number> =>
    guard.admit(model, ...args).then(
      () => 0,
      (error: unknown) => Number(/about (\d+) MiB/.exec(messageOf(error))?.[1]),
    )
  const privateBytes = 30 * MIB
  const sharedBytes = 500 * MIB
  assert.equal(await needed(2, 0, {}), 204)
  assert.equal(await needed(2, 0, { privateBytes }), 60)
  assert.equal(await needed(2, 0, { sharedBytes }), 700, 'not measured yet')
  assert.equal(await needed(2, 0, { privateBytes, sharedBytes }), 560)
  assert.equal(
    await needed(2, 1, { privateBytes, sharedBytes }),
    60,
    'the files are mapped already',
  )
})

test('the largest worker that was measured counts, and stays known when the workers have ended', async () => {
  const measured = new MeasuredWorkers()
  assert.equal(await measured.measure([undefined]), 0)
  assert.equal(measured.privateBytes, undefined)
  const total = await measured.measure([process.pid, undefined])
  const { privateBytes } = measured
  assert.ok(privateBytes !== undefined && privateBytes > MIB && privateBytes <= total)
  // No process has this number.
  assert.equal(await measured.measure([2 ** 22 + 1]), 0)
  assert.equal(measured.privateBytes, privateBytes)
})

test('what can be missed is ended before a worker is rejected', async (t) => {
  const model = { name: 'm', modelPath: filesIn(t, { 'model.onnx': Buffer.alloc(MIB) }) }
  const freed: number[] = []
  let left = 102 * MIB
  const guard = new MemoryGuard(
    () => Promise.resolve(left),
    () => {
      freed.push(left)
      left = 102 * 2 * MIB
      return Promise.resolve(freed.length === 1)
    },
  )
  const release = await guard.admit(model, 1)
  assert.deepEqual(freed, [], 'there was room')
  release()
  await guard.admit(model, 2)
  assert.deepEqual(freed, [102 * MIB])
  await assert.rejects(guard.admit(model, 1), /0 MiB are left/)
  assert.equal(freed.length, 2)
})

test(
  'of scalings at once those are refused that would not fit in the memory that is left',
  { timeout: 60_000 },
  async (t) => {
    let left = 500 * MIB
    const server = await startServer({
      config: completeConfig({ port: 0, managementPort: 0, checkMemory: true }),
      models: [path.resolve('examples/iris')],
      environment: process.env,
      availableMemory: () => Promise.resolve(left),
      log: pino({ level: 'silent' }),
    })
    t.after(() => server.close())
    const manage = (query = '', method = 'GET'): Promise<Response> =>
      fetch(`${server.managementUrl}/models/iris${query}`, { method })
    let privateMemory = 0
    const shown = async (): Promise<unknown> => {
      const { minWorkers, maxWorkers, workers } = (await (await manage()).json()) as {
        minWorkers: number
        maxWorkers: number
        workers: { pid: number; privateMemory: number }[]
      }
      privateMemory = workers[0]?.privateMemory ?? 0
      return { minWorkers, maxWorkers, pids: workers.map(({ pid }) => pid) }
    }
    const scale = (query: string): Promise<Response> => manage(`?${query}`, 'PUT')
    const before = await shown()
    // Room for one more worker like the first one, and not for two.
    left = 1.5 * privateMemory
    for (const query of ['min_worker=3', 'min_worker=3&synchronous=true']) {
      const refused = await scale(query)
      assert.equal(refused.status, 507)
      const { message, ...error } = (await refused.json()) as { message: string }
      assert.deepEqual(error, { code: 507, type: 'InsufficientMemoryException' })
      const numbers =
        /^Model iris needs about (\d+) MiB of memory for 2 more workers; (\d+) MiB are left.$/.exec(
          message,
        )
      const [needed, free] = (numbers ?? []).slice(1).map(Number)
      assert.equal(free, Math.round(left / MIB), message)
      assert.ok(Math.abs(Number(needed) - (2 * privateMemory) / MIB) < 10, message)
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
