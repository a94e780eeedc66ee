import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pino from 'pino'
import type { EvictionCause } from '../../../src/models/metrics/causes.ts'
import { ModelMemory } from '../../../src/models/residency/model-memory.ts'
import type { Loadable, ModelMemoryOptions } from '../../../src/models/residency/model-memory.ts'
import { randomNumbers } from '../../helpers/random.ts'
import { until } from '../../helpers/until.ts'

const log = pino({ level: 'silent' })

/** A model that takes some time to load and to unload, and checks how it is treated. */
class FakeModel implements Loadable {
  readonly name: string
  readonly version = '1'
  isPinned = false
  isWanted = true
  isRunning = false
  isLoaded = false
  bytes: number
  loadMs = 1
  starts = 0
  readonly causes: EvictionCause[] = []
  failure: Error | undefined
  /** Whether it is being loaded or unloaded. */
  isBetween = false

  constructor(name: string, bytes = 10) {
    this.name = name
    this.bytes = bytes
  }

  get isBusy(): boolean {
    return this.isWanted || this.isRunning
  }

  async start(): Promise<void> {
    assert.ok(!this.isLoaded && !this.isBetween, `${this.name} is loaded once`)
    this.isBetween = true
    this.starts += 1
    await delay(this.loadMs)
    this.isBetween = false
    if (this.failure !== undefined) throw this.failure
    this.isLoaded = true
    this.isWanted = false
  }

  measure(): Promise<number> {
    return Promise.resolve(this.isLoaded ? this.bytes : 0)
  }

  async unload(cause: EvictionCause): Promise<void> {
    assert.ok(this.isLoaded && !this.isBusy && !this.isPinned, `${this.name} may be unloaded`)
    this.causes.push(cause)
    this.isLoaded = false
    this.isBetween = true
    await delay(1)
    this.isBetween = false
  }
}

function memoryOf(
  t: TestContext,
  budgetBytes: number,
  options: Partial<ModelMemoryOptions> = {},
): ModelMemory {
  const memory = new ModelMemory({ budgetBytes, idleMs: 0, leastStayMs: 0, log, ...options })
  t.after(() => memory.close())
  return memory
}

function load(memory: ModelMemory, model: FakeModel): Promise<void> {
  model.isWanted = true
  return memory.load(model, model.bytes)
}

test('models are loaded until the budget is used up; then the cheapest goes', async (t) => {
  const memory = memoryOf(t, 30)
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => new FakeModel(name))
  assert.ok(a && b && c && d)
  for (const model of [a, b, c]) await load(memory, model)
  // Enough uses to outweigh the differences of the load times.
  for (let use = 0; use < 100; use += 1) for (const model of [a, c]) memory.recordUse(model)
  assert.deepEqual([memory.usedBytes, memory.loadedModels], [30, 3])
  await load(memory, d)
  assert.deepEqual([memory.usedBytes, memory.loadedModels], [30, 3])
  assert.deepEqual(
    [a, b, c, d].map(({ isLoaded }) => isLoaded),
    [true, false, true, true],
  )
  assert.deepEqual(b.causes, ['memory'])
})

test('models that are in use or pinned stay, and a load waits for them', async (t) => {
  const memory = memoryOf(t, 30)
  const [busy, pinned, other, late] = ['busy', 'pinned', 'other', 'late'].map(
    (name) => new FakeModel(name),
  )
  assert.ok(busy && pinned && other && late)
  pinned.isPinned = true
  for (const model of [busy, pinned, other]) await load(memory, model)
  busy.isRunning = true
  other.isRunning = true
  const loaded = load(memory, late)
  await delay(120)
  assert.equal(late.starts, 0)
  busy.isRunning = false
  await loaded
  assert.deepEqual(
    [busy, pinned, other, late].map(({ isLoaded }) => isLoaded),
    [false, true, true, true],
  )
})

test('a model that nobody waits for any more is not loaded', async (t) => {
  const memory = memoryOf(t, 10)
  const [first, second] = [new FakeModel('first'), new FakeModel('second')]
  await load(memory, first)
  first.isRunning = true
  const loaded = load(memory, second)
  await delay(10)
  second.isWanted = false
  await loaded
  assert.deepEqual([second.starts, memory.usedBytes], [0, 10])
})

test('a model that can never fit is refused with both numbers', async (t) => {
  const MIB = 1024 * 1024
  const memory = memoryOf(t, 10 * MIB)
  await assert.rejects(load(memory, new FakeModel('huge', 11 * MIB)), {
    type: 'InsufficientMemoryException',
    message: /huge needs about 11 MiB.*10 MiB/,
  })
  assert.equal(memory.usedBytes, 0)
})

test('a model that needs more than was expected makes others go', async (t) => {
  const memory = memoryOf(t, 30)
  const [a, b, grown] = [new FakeModel('a'), new FakeModel('b'), new FakeModel('grown', 25)]
  for (const model of [a, b]) await load(memory, model)
  grown.isWanted = true
  grown.isRunning = true
  await memory.load(grown, 5)
  assert.deepEqual([a.isLoaded, b.isLoaded, grown.isLoaded], [false, false, true])
  assert.equal(memory.usedBytes, 25)
})

test('a load that fails leaves nothing behind, and the next one has its turn', async (t) => {
  const memory = memoryOf(t, 10)
  const broken = new FakeModel('broken')
  broken.failure = new Error('broken file')
  await assert.rejects(load(memory, broken), /broken file/)
  assert.deepEqual([memory.usedBytes, memory.loadedModels], [0, 0])
  const models = Array.from({ length: 5 }, (_, index) => new FakeModel(`m${index}`))
  await Promise.all(models.map((model) => load(memory, model)))
  assert.equal(
    models.reduce((sum, { starts }) => sum + starts, 0),
    5,
  )
})

test('a model without requests is unloaded after its time, a pinned one stays', async (t) => {
  const memory = memoryOf(t, 30, { idleMs: 150 })
  const [idle, pinned] = [new FakeModel('idle'), new FakeModel('pinned')]
  pinned.isPinned = true
  await Promise.all([load(memory, idle), load(memory, pinned)])
  await until('the memory of the idle model is free', () => memory.usedBytes === 10)
  assert.deepEqual([idle.causes, pinned.causes], [['idle'], []])
})

test('a model that is removed no longer counts', async (t) => {
  const memory = memoryOf(t, 10)
  const model = new FakeModel('a')
  await load(memory, model)
  memory.remove(model)
  assert.deepEqual([memory.usedBytes, memory.loadedModels], [0, 0])
})

for (const seed of [1, 2, 3, 4]) {
  test(`whatever is requested, used and removed, the budget holds and every load ends (seed ${seed})`, async (t) => {
    const random = randomNumbers(seed)
    const memory = memoryOf(t, 100)
    const models = Array.from({ length: 20 }, (_, index) => {
      const model = new FakeModel(`m${index}`, random.integer(5, 40))
      model.isPinned = index === 0
      model.loadMs = random.integer(0, 3)
      model.isWanted = false
      return model
    })
    const loads = new Map<FakeModel, Promise<void>>()
    let most = 0
    for (let step = 0; step < 400; step += 1) {
      const model = models[random.integer(0, models.length - 1)]
      assert.ok(model)
      const dice = random.integer(0, 9)
      if (model.isLoaded) {
        if (dice < 6) {
          memory.recordUse(model)
          model.isRunning = true
          void delay(random.integer(0, 4)).then(() => (model.isRunning = false))
        } else if (dice === 6 && !model.isBusy) {
          memory.remove(model)
          model.isLoaded = false
        }
      } else if (!loads.has(model) && !model.isBetween) {
        // As `OnDemand` does: a model is not loaded before its unload has ended.
        const ended = load(memory, model).finally(() => loads.delete(model))
        loads.set(model, ended)
        if (dice === 9) model.isWanted = false
      }
      if (dice % 3 === 0) await delay(1)
      most = Math.max(most, memory.usedBytes)
    }
    await Promise.all(loads.values())
    assert.ok(most <= 100, `${most} of 100`)
    const held = models.filter(({ isLoaded }) => isLoaded)
    assert.equal(memory.loadedModels, held.length)
    assert.equal(
      memory.usedBytes,
      held.reduce((sum, { bytes }) => sum + bytes, 0),
    )
  })
}
