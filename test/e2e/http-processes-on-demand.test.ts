/** What several HTTP processes tell each other about models that load on demand. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { writeNumbered } from '../helpers/numbered-models.ts'
import { workersOf } from '../helpers/observe.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

/** Process id of the further HTTP process that listened last. */
function furtherProcess(server: TestServer): number {
  const line = server.logLines.findLast(({ msg }) => msg === 'an HTTP process listens')
  return Number(line?.['pid'])
}

test('what one process learns of a model that loads on demand, all know', async (t) => {
  const store = path.join(temporaryFolder(t), 'store')
  writeNumbered(store, 'm1', 1)
  const server = await serve(t, [], { httpProcesses: 2, modelStore: store, load: 'on-demand' })
  const describe = async (): Promise<unknown> => {
    const response = await server.fetch('/v2/models/m1', { headers: { connection: 'close' } })
    assert.equal(response.status, 200)
    return ((await json(response)) as { inputs: unknown }).inputs
  }
  const inputs = await describe()
  assert.equal((await workersOf(server, 'm1')).length, 1)
  await until(async () => {
    const shown = (await json(await server.manage('/models/m1'))) as { metadata?: object }
    return shown.metadata
  })
  // Each request comes on another connection, so both processes answer some.
  for (let round = 0; round < 20; round += 1) assert.deepEqual(await describe(), inputs)
  assert.equal((await workersOf(server, 'm1')).length, 1)
  const pid = furtherProcess(server)
  process.kill(pid, 'SIGKILL')
  await until(() => furtherProcess(server) !== pid)
  for (let round = 0; round < 20; round += 1) assert.deepEqual(await describe(), inputs)
  assert.ok((await workersOf(server, 'm1')).length <= 1)
})
