/**
 * Many models with room for few: random loads, predictions, unloads, exchanges and crashes, with
 * answers that tell which model and which state of its files gave them.
 */
import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { addedBy, numberedStore, writeNumbered } from '../helpers/numbered-models.ts'
import { workerPids } from '../helpers/observe.ts'
import { randomNumbers } from '../helpers/random.ts'
import { openFiles, processTree } from '../helpers/server-process.ts'
import { listing, serve, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { size } from './harness.ts'

const BUDGET_MIB = 250
/** An idle connection would count as a descriptor of the server. */
const ONCE = { connection: 'close' }

test(
  'models are loaded, used, exchanged, killed and removed at random: no wrong answer, no leak',
  { timeout: 1_800_000 },
  async (t) => {
    const seed = Number(process.env.ONNXD_TEST_SEED ?? 1)
    const random = randomNumbers(seed)
    t.diagnostic(`seed ${seed}`)
    const count = size(8, 50)
    const events = size(60, 1000)
    const store = numberedStore(t, count)
    const server = await serve(t, [], {
      modelStore: store,
      load: 'on-demand',
      modelMemoryMib: BUDGET_MIB,
      exposeRepository: true,
      logLevel: 'info',
    })
    const before = {
      files: openFiles(server.pid),
      processes: processTree(server.pid).length,
      folders: listing(server.temporary).length,
    }
    /** The number that each model adds; `undefined` while it is not registered. */
    const numbers = new Map(
      Array.from({ length: count }, (_, index): [string, number | undefined] => [
        `m${index + 1}`,
        index + 1,
      ]),
    )
    /** The number in the files of each model. */
    const files = new Map(numbers)
    const locked = new Set<string>()
    const tally: Record<string, number> = {}
    const failures: string[] = []
    let most = 0

    const predict = async (name: string): Promise<void> => {
      const expected = numbers.get(name)
      const answers = await Promise.all(
        Array.from({ length: random.integer(1, 4) }, () => addedBy(server, name, ONCE)),
      )
      for (const answer of answers)
        if (answer !== expected && !(expected === undefined && String(answer).startsWith('404')))
          failures.push(`${name}: ${answer} instead of ${expected}`)
    }
    const call = async (method: string, route: string): Promise<void> => {
      const response = await server.manage(route, { method, headers: ONCE })
      const text = await response.text()
      if (!response.ok) failures.push(`${method} ${route}: ${response.status} ${text}`)
    }
    const remove = async (name: string): Promise<void> => {
      if (numbers.get(name) === undefined) return
      await call('DELETE', `/models/${name}`)
      numbers.set(name, undefined)
    }
    const register = async (name: string): Promise<void> => {
      if (numbers.get(name) !== undefined) return
      await call('POST', `/models?url=${name}`)
      numbers.set(name, files.get(name))
    }
    const exchange = async (name: string): Promise<void> => {
      await remove(name)
      const number = random.integer(100, 1000)
      writeNumbered(store, name, number)
      files.set(name, number)
      await call('POST', `/models?url=${name}`)
      numbers.set(name, number)
    }
    const kill = async (name: string): Promise<void> => {
      if (numbers.get(name) === undefined) return
      const pids = await workerPids(server, name)
      // Half of the kills meet a worker at work.
      const answered = random.integer(0, 1) === 0 ? undefined : predict(name)
      for (const pid of pids)
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It was evicted meanwhile.
        }
      await answered
    }
    const kinds = [predict, predict, predict, predict, predict, kill, exchange, remove, register]
    let done = 0
    const work = async (): Promise<void> => {
      while (done < events) {
        done += 1
        const free = [...numbers.keys()].filter((name) => !locked.has(name))
        const name = free[random.integer(0, free.length - 1)]
        const kind = kinds[random.integer(0, kinds.length - 1)]
        assert.ok(name !== undefined && kind !== undefined)
        tally[kind.name] = (tally[kind.name] ?? 0) + 1
        locked.add(name)
        await kind(name)
        locked.delete(name)
        most = Math.max(most, processTree(server.pid).length)
      }
    }
    await Promise.all([work(), work(), work()])
    t.diagnostic(`${JSON.stringify(tally)}, at most ${most} processes`)
    assert.deepEqual(failures, [])
    for (const name of numbers.keys()) await remove(name)
    await until(() => processTree(server.pid).length <= before.processes)
    await until(() => openFiles(server.pid) <= before.files + 2)
    assert.equal(listing(server.temporary).length, before.folders)
    reportFigure(t, {
      what: `random loads, predictions, exchanges and crashes of ${count} models with room for few`,
      goal: '0 wrong answers, no leak',
      seen: `0 wrong of ${events} events`,
      isMet: true,
    })
  },
)
