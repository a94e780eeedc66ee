/** New versions take over while requests come in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  assertAllAnswered,
  iris,
  processesNaming,
  sizeOf,
  startLoad,
  startProcess,
} from '../helpers/server-process.ts'
import { temporaryFolder, until } from '../helpers/server.ts'

const SWAPS = sizeOf('ONNXD_FAULT_SWAPS', 12)
const SWAP_EVERY_MS = 5000

test(
  'the default version is replaced under constant load, and no request fails',
  { timeout: 300_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const server = await startProcess(t, folder, ['--allow-local-paths', '--workers', '2'])
    const change = async (method: string, route: string): Promise<void> => {
      const { status, text } = await server.call(method, route)
      assert.equal(status, 200, `${method} ${route}: ${text}`)
    }
    const register = (version: number): Promise<void> =>
      change('POST', `/models?url=${iris}&model_name=iris&model_version=${version}`)
    await register(0)
    const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 4)
    for (let version = 1; version <= SWAPS; version += 1) {
      const pause = new Promise((resolve) => setTimeout(resolve, SWAP_EVERY_MS))
      await register(version)
      await change('PUT', `/models/iris/${version}/set-default`)
      await change('DELETE', `/models/iris/${version - 1}`)
      await pause
    }
    await load.stop()
    t.diagnostic(`${load.answers.get(200)} answers during ${SWAPS} swaps`)
    assertAllAnswered(load, SWAPS * 100)
    // The server itself does not name the folder: these are the workers of the last version.
    await until(() => processesNaming(folder).length === 2)
    await server.close()
    await until(() => processesNaming(folder).length === 0)
  },
)
