/** Workers that are killed from outside, again and again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomNumbers } from '../helpers/random.ts'
import {
  assertAllAnswered,
  iris,
  openFiles,
  processesNaming,
  sizeOf,
  startLoad,
  startProcess,
} from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { isAlive, listing, temporaryFolder, until } from '../helpers/server.ts'

const KILLS = sizeOf('ONNXD_FAULT_KILLS', 60)
const KILL_EVERY_MS = 200
/** Descriptors that may be on their way: a connection just closed, a pipe just opened. */
const TOLERANCE = 2

/** Pids of the workers that serve. */
async function readyWorkers(server: ServerProcess): Promise<number[]> {
  const { text } = await server.call('GET', '/models/iris')
  const { workers } = JSON.parse(text) as { workers: { pid: number; status: string }[] }
  return workers
    .filter(({ pid, status }) => status === 'READY' && isAlive(pid))
    .map(({ pid }) => pid)
}

test(
  'workers of a model that may be asked twice are killed under load, and every request is answered',
  { timeout: 300_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const server = await startProcess(t, folder, ['--workers', '2', `iris=${iris}`])
    const random = randomNumbers(6)
    const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 4)
    await until(() => (load.answers.get(200) ?? 0) > 100)
    const filesOpen = openFiles(server.pid)
    const files = listing(server.temporary).length
    for (let kill = 0; kill < KILLS; kill += 1) {
      const pause = new Promise((resolve) => setTimeout(resolve, KILL_EVERY_MS))
      // Never the last one that serves: a request is repeated once, so two in a row would be its end.
      const ready = await until(async () => {
        const pids = await readyWorkers(server)
        return pids.length === 2 && pids
      }, 30_000)
      const victim = ready[random.integer(0, ready.length - 1)]
      assert.ok(victim)
      process.kill(victim, 'SIGKILL')
      await pause
    }
    await until(async () => (await readyWorkers(server)).length === 2)
    const fresh = (load.answers.get(200) ?? 0) + 100
    await until(() => (load.answers.get(200) ?? 0) > fresh)
    const opened = await until(() => {
      const more = openFiles(server.pid) - filesOpen
      return Math.abs(more) <= TOLERANCE && { more }
    })
    await load.stop()
    t.diagnostic(
      `${load.answers.get(200)} answers during ${KILLS} kills, ${opened.more} descriptors more`,
    )
    assertAllAnswered(load, KILLS)
    assert.equal(listing(server.temporary).length, files)
    assert.equal(processesNaming(folder).length, 2)
    await server.close()
    assert.deepEqual(processesNaming(folder), [])
    assert.deepEqual(listing(server.temporary), [])
  },
)
