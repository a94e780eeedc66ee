/** One server for several tests of a file, because each start costs about a second. */
import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { after } from 'node:test'
import type { Settings } from '../../src/config/config.ts'
import { json, serve, temporaryFolder, until } from './server.ts'
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

let store: string | undefined

/** The model store of {@link storeServer}. It is emptied after the test. */
export function sharedStore(t: Cleanup): string {
  const folder = (store ??= temporaryFolder(cleanup))
  t.after(() => {
    for (const name of readdirSync(folder)) rmSync(path.join(folder, name), { recursive: true })
  })
  return folder
}

/**
 * The server of this file with a model store. It has no model at the start of a test, and those
 * that the test registers are unregistered after it.
 */
export async function storeServer(t: Cleanup): Promise<TestServer> {
  const modelStore = sharedStore(t)
  const server = await sharedServer([], { modelStore, load: 'none', allowHandlers: true })
  t.after(() => unregisterAll(server))
  return server
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
