/** One server for several tests of a file, because each start costs about a second. */
import assert from 'node:assert/strict'
import { after } from 'node:test'
import type { Settings } from '../../src/config/config.ts'
import { json, serve, until } from './server.ts'
import type { Cleanup, TestServer } from './server.ts'

const servers = new Map<string, Promise<TestServer>>()
const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }

after(async () => {
  for (const run of cleanups.toReversed()) await run()
})

/**
 * The server of this file for these models and settings. It starts with the first test that asks
 * for it and is closed after the last test of the file, so a test must not stop it. The test sees
 * the log from here on.
 */
export async function sharedServer(
  models: readonly string[],
  settings: Settings = {},
): Promise<TestServer> {
  const key = JSON.stringify([models, settings])
  const starting = servers.get(key) ?? serve(cleanup, models, settings)
  servers.set(key, starting)
  const server = await starting
  const from = server.logLines.length
  return {
    ...server,
    get logLines() {
      return server.logLines.slice(from)
    },
    logged: (matches) => until(() => server.logLines.slice(from).find(matches)),
  }
}

/** Unregisters every model, so that the next test finds none. */
export async function unregisterAll(server: TestServer): Promise<void> {
  const { models } = (await json(await server.manage('/models?limit=1000'))) as {
    models: { modelName: string }[]
  }
  for (const { modelName } of models) {
    const { status } = await server.manage(`/models/${modelName}`, { method: 'DELETE' })
    assert.equal(status, 200, modelName)
  }
}
