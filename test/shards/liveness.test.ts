/** Processes that do not answer are ended, and no others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Liveness } from '../../src/shards/liveness.ts'
import { until } from '../helpers/server.ts'

test('a process is ended when it has not answered for a while, also after answers', async (t) => {
  const asked = { stopped: 0, busy: 0, starting: 0 }
  const killed: string[] = []
  const one = (name: keyof typeof asked, answers: (count: number) => unknown, since = 0) => ({
    listeningSince: since < 0 ? undefined : since,
    ask: async () => answers((asked[name] += 1)),
    kill: () => void killed.push(name),
  })
  const liveness = new Liveness(() => [stopped, busy, starting], 1)
  t.after(() => liveness.close())
  const stopped = one('stopped', (count) => (count <= 3 ? true : undefined))
  // Every third answer comes in time.
  const busy = one('busy', (count) => (count % 3 === 0 ? true : undefined))
  const starting = one('starting', () => undefined, -1)
  await until(() => asked.busy > 60)
  assert.deepEqual(killed, ['stopped'])
  assert.equal(asked.starting, 0)
})
