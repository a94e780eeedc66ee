import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { mock, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pino from 'pino'
import { ServerError } from '../../../src/errors.ts'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { ModelMemory } from '../../../src/models/residency/model-memory.ts'
import { OnDemand } from '../../../src/models/residency/on-demand.ts'
import type { OnDemandContext } from '../../../src/models/residency/on-demand.ts'
import { prepareFromArgument } from '../../../src/models/sources/prepare.ts'
import { randomNumbers } from '../../helpers/random.ts'
import { temporaryFolder, until } from '../../helpers/server.ts'

const MIB = 1024 * 1024
const log = pino({ level: 'silent' })

/** A version whose requests and workers are numbers. */
class FakeVersion {
  readonly onDemand: OnDemand
  readonly metrics = new VersionMetrics()
  waiting = 0
  running = 0
  hasWorkers = false
  starts = 0
  answered = 0
  rejected = 0
  workers = 1
  bytes = 10 * MIB
  failure: Error | undefined
  /** Called while the workers start. */
  onStart: () => Promise<void> = () => delay(1)

  constructor(prepared: OnDemandContext['prepared'], memory: ModelMemory) {
    const isWanted = (): boolean => this.waiting > 0
    const isBusy = (): boolean => this.waiting + this.running > 0
    this.onDemand = new OnDemand(
      {
        prepared,
        get isWanted() {
          return isWanted()
        },
        get isBusy() {
          return isBusy()
        },
        workers: () => this.workers,
        isCached: () => false,
        start: () => this.#start(),
        measure: () => Promise.resolve(this.hasWorkers ? this.bytes : 0),
        stop: async () => {
          this.hasWorkers = false
          await delay(1)
        },
        rejectWaiting: () => {
          this.rejected += this.waiting
          this.waiting = 0
        },
        metrics: this.metrics,
        log,
      },
      memory,
    )
  }

  request(): void {
    this.waiting += 1
    this.onDemand.use()
    if (this.hasWorkers) this.#answer()
  }

  async #start(): Promise<void> {
    assert.equal(this.hasWorkers, false, 'the workers are started once')
    this.starts += 1
    await this.onStart()
    if (this.failure !== undefined) throw this.failure
    this.hasWorkers = true
    this.#answer()
  }

  #answer(): void {
    this.answered += this.waiting
    this.waiting = 0
  }
}

async function versions(t: TestContext, count: number, budgetMib = 1000): Promise<FakeVersion[]> {
  const folder = path.join(temporaryFolder(t), 'm')
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), 'never read')
  const [prepared] = await prepareFromArgument(folder, {
    temporaryRoot: folder,
    modelStore: undefined,
    allowLocalPaths: true,
  })
  assert.ok(prepared)
  const memory = new ModelMemory({ budgetBytes: budgetMib * MIB, idleMs: 0, leastStayMs: 0, log })
  t.after(() => memory.close())
  return Array.from(
    { length: count },
    (_, index) => new FakeVersion({ ...prepared, name: `m${index}` }, memory),
  )
}

test('requests that come while the model loads do not load it again', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  assert.equal(version.onDemand.state, 'UNLOADED')
  for (let request = 0; request < 5; request += 1) version.request()
  assert.equal(version.onDemand.state, 'LOADING')
  await until(() => version.onDemand.state === 'READY')
  assert.deepEqual([version.starts, version.answered, version.metrics.loads], [1, 5, 1])
  version.request()
  assert.deepEqual([version.starts, version.answered], [1, 6])
})

test('a load that fails rejects what waits, and is tried later and later', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  version.failure = new ServerError('InvalidModelException', 'the file is damaged')
  let now = 1000
  t.mock.method(performance, 'now', () => now)
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
    version.request()
    await until(() => version.onDemand.state === 'UNLOADED')
    assert.equal(version.waiting, 0)
    const error = version.onDemand.rejection()
    assert.ok(error)
    assert.deepEqual([error.statusCode, error.retryAfterSeconds], [503, seconds])
    assert.match(error.message, /m0 could not be loaded: the file is damaged/)
    now += seconds * 1000
    assert.equal(version.onDemand.rejection(), undefined)
  }
  version.failure = undefined
  version.request()
  await until(() => version.onDemand.state === 'READY')
  assert.equal(version.rejected, 8)
  mock.restoreAll()
})

test('requests that come while the workers stop load the model again', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  version.request()
  await until(() => version.onDemand.state === 'READY')
  const unloaded = version.onDemand.unload('memory')
  assert.equal(version.onDemand.state, 'UNLOADING')
  version.request()
  assert.equal(version.starts, 1)
  await unloaded
  await until(() => version.onDemand.state === 'READY')
  assert.deepEqual([version.starts, version.answered], [2, 2])
  assert.equal(version.metrics.evictions.memory, 1)
})

test('a version that is closed while it loads stays closed', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  version.onStart = () => Promise.reject(new Error('stopped'))
  version.request()
  version.onDemand.close()
  await until(() => version.onDemand.state === 'UNLOADED')
  version.request()
  await delay(5)
  assert.ok(version.starts <= 1)
  assert.equal(version.onDemand.rejection(), undefined, 'a closed version has no failure')
})

test('a model is loaded without a request, and its failure is reported to the caller', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  const failure = new ServerError('InvalidModelException', 'the file is damaged')
  version.failure = failure
  for (const attempt of [1, 2]) {
    await assert.rejects(version.onDemand.loadNow(10_000), failure)
    assert.equal(version.starts, attempt, 'a caller does not wait for the next try')
  }
  version.failure = undefined
  await Promise.all([version.onDemand.loadNow(10_000), version.onDemand.loadNow(10_000)])
  assert.deepEqual([version.onDemand.state, version.starts], ['READY', 3])
  const unloaded = version.onDemand.unload('memory')
  await version.onDemand.loadNow(10_000)
  await unloaded
  assert.deepEqual([version.onDemand.state, version.starts], ['READY', 4])
  version.onDemand.close()
  await assert.rejects(version.onDemand.loadNow(10_000), /being unloaded/)
})

test('a load without a request does not wait forever for memory that is in use', async (t) => {
  const [busy, late] = await versions(t, 2, 15)
  assert.ok(busy && late)
  await busy.onDemand.loadNow(10_000)
  busy.running = 1
  await assert.rejects(late.onDemand.loadNow(20), { statusCode: 503, message: /No worker became/ })
  assert.equal(late.starts, 0)
  await until(() => late.onDemand.state === 'UNLOADED')
  busy.running = 0
  await late.onDemand.loadNow(10_000)
  assert.deepEqual([busy.onDemand.state, late.onDemand.state], ['UNLOADED', 'READY'])
})

test('a model that should have no worker is not loaded, and is not loaded when its workers went', async (t) => {
  const [version] = await versions(t, 1)
  assert.ok(version)
  version.workers = 0
  await version.onDemand.loadNow(10_000)
  version.request()
  assert.deepEqual([version.onDemand.state, version.starts], ['UNLOADED', 0])
  version.workers = 1
  version.onStart = () => {
    version.workers = 0
    return Promise.resolve()
  }
  version.request()
  await until(() => version.starts === 1 && version.onDemand.state !== 'LOADING')
  assert.equal(version.onDemand.state, 'UNLOADED')
})

test('a model that grew above the budget is loaded again; one that was too large at once is not', async (t) => {
  const [grown, other] = await versions(t, 2, 30)
  assert.ok(grown && other)
  grown.request()
  await until(() => grown.onDemand.bytes === 10 * MIB)
  grown.bytes = 50 * MIB
  assert.equal(await grown.onDemand.measure(), 50 * MIB)
  other.request()
  await until(() => other.onDemand.bytes > 0)
  assert.equal(grown.onDemand.state, 'UNLOADED')
  grown.request()
  await until(() => grown.answered === 2)
  await until(() => grown.onDemand.state === 'UNLOADED')
  grown.request()
  await until(() => grown.rejected === 1)
  assert.equal(grown.starts, 2)
  assert.equal(grown.onDemand.rejection()?.statusCode, 507)
})

for (const seed of [1, 2, 3]) {
  test(`every request is answered or rejected, whatever comes between (seed ${seed})`, async (t) => {
    const random = randomNumbers(seed)
    const all = await versions(t, 12, 100)
    let requests = 0
    for (let step = 0; step < 500; step += 1) {
      const version = all[random.integer(0, all.length - 1)]
      assert.ok(version)
      const dice = random.integer(0, 9)
      if (dice < 7) {
        if (version.onDemand.rejection() === undefined) {
          requests += 1
          version.request()
        }
      } else if (dice === 7) {
        version.failure = random.integer(0, 4) === 0 ? new Error('broken') : undefined
      } else await delay(1)
    }
    for (const version of all) version.failure = undefined
    await until(() => all.every(({ waiting }) => waiting === 0))
    await until(() => all.every(({ onDemand }) => /^(READY|UNLOADED)$/.test(onDemand.state)))
    const settled = all.reduce((sum, { answered, rejected }) => sum + answered + rejected, 0)
    assert.equal(settled, requests)
    for (const { onDemand, hasWorkers } of all)
      assert.equal(onDemand.state === 'READY', hasWorkers, onDemand.name)
  })
}
