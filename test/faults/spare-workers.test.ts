/** Block W: spare workers that die or are stopped, and what they save. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { workersFor } from '../helpers/http-processes.ts'
import { workerPids } from '../helpers/observe.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { isAlive, until } from '../helpers/server.ts'
import { readySpare, workerStarts } from '../helpers/spares.ts'
import { quantile, reportFigure } from './figures.ts'
import { block, heldBy, size } from './harness.ts'
import type { Laboratory } from './harness.ts'

const LONG = { timeout: 600_000 }
/** A free machine needs a tenth of it. */
const RESTART_GOAL_MS = 1000

const row = block({ settings: { spareWorkers: 1, responseTimeout: 20 } })

async function assertServes(server: Laboratory, model: string): Promise<void> {
  const { status, text } = await server.predict(model, FLOWER.body, FLOWER.headers)
  assert.equal(status, 200, text)
  assert.match(text, /"label":\["setosa"\],"probabilities":\[\[0\.9972/)
}

row(
  'W01',
  'a killed worker is replaced by the spare one, and no request is lost',
  async (server, t) => {
    const times: number[] = []
    for (let round = 0; round < size(3, 100); round += 1) {
      const spare = await readySpare(server)
      const [worker = 0] = await workerPids(server, 'reference')
      const killedAt = performance.now()
      process.kill(worker, 'SIGKILL')
      await until(() => !isAlive(worker))
      await Promise.all(Array.from({ length: 5 }, () => assertServes(server, 'reference')))
      times.push(performance.now() - killedAt)
      assert.equal((await workerPids(server, 'reference'))[0], spare)
    }
    const worst = quantile(times, 0.99)
    reportFigure(t, {
      what: 'Killed worker to answers, with a spare one, p99',
      goal: `${RESTART_GOAL_MS} ms`,
      seen: `${worst.toFixed(0)} ms`,
      isMet: worst <= RESTART_GOAL_MS,
    })
  },
  LONG,
)

row(
  'W19',
  'a spare worker that is killed again and again is replaced each time',
  async (server) => {
    const before = heldBy(server)
    for (let round = 0; round < size(3, 100); round += 1) {
      const spare = await readySpare(server)
      process.kill(spare, 'SIGKILL')
      await until(() => !isAlive(spare))
      await assertServes(server, 'reference')
      assert.notEqual(await readySpare(server), spare)
    }
    const { restartInMs } = await server.logged(
      (line) => line.msg === 'spare worker died' && Number(line.restartInMs) > 50,
    )
    assert.ok(Number(restartInMs) <= 1000)
    await until(() => heldBy(server).files === before.files)
  },
  LONG,
)

row('W18', 'a stopped spare worker costs the model nothing, and is replaced', async (server) => {
  for (let round = 0; round < size(1, 20); round += 1) {
    const spare = await readySpare(server)
    const before = await workerStarts(server)
    process.kill(spare, 'SIGSTOP')
    await server.register('other', iris, { initial_workers: '1' })
    await assertServes(server, 'other')
    assert.ok(!(await workerPids(server, 'other')).includes(spare))
    const plain = before.plain + workersFor(1)
    assert.deepEqual(await workerStarts(server), { ...before, plain })
    await until(() => !isAlive(spare))
    await readySpare(server)
    await server.unregister('other')
  }
})

row(
  'O20',
  'after many loads nothing is left but one spare worker',
  async (server) => {
    await readySpare(server)
    const before = heldBy(server)
    for (let round = 0; round < size(3, 50); round += 1) {
      await server.register('other', iris, { initial_workers: '1' })
      await server.unregister('other')
    }
    await readySpare(server)
    await until(() => heldBy(server).files === before.files)
    await until(() => heldBy(server).descriptors <= before.descriptors)
  },
  LONG,
)
