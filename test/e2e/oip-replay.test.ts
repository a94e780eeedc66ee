/**
 * Replays recorded requests of Triton's, KServe's and other clients over raw sockets against a real
 * server.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { serve, temporaryFolder } from '../helpers/server.ts'
import { sharedPath, testShared } from '../helpers/shared.ts'

const run = promisify(execFile)
const modelFolder = sharedPath('models')

/** Folders of ../shared/models that onnxruntime-node can load. */
function servableModels(): string[] {
  return readdirSync(modelFolder)
    .map((name) => path.join(modelFolder, name))
    .filter((folder) => statSync(folder).isDirectory() && !folder.endsWith('identity_bf16'))
}

/** Runs the replayer; what it prints goes into the message of a failure. */
async function replay(url: string, environment: Record<string, string>): Promise<string> {
  const tool = sharedPath('tools', 'replay.mjs')
  const { host } = new URL(url)
  const done = await run(process.execPath, [tool, host], {
    env: { ...process.env, ...environment },
  }).catch((error: unknown) => {
    const output =
      typeof error === 'object' && error !== null && 'stdout' in error ? error.stdout : error
    return { stdout: `replay failed\n${String(output)}` }
  })
  return done.stdout
}

testShared(
  'every recorded request is answered as its client expects it, Content-Type to the letter',
  {},
  async (t) => {
    const server = await serve(t, servableModels(), {
      serverName: 'triton',
      exposeRepository: true,
      threads: 1,
    })
    for (const strict of ['0', '1']) {
      const output = await replay(server.inferenceUrl, { STRICT_CT: strict })
      assert.match(output, /^\d{3} pass, 0 fail, 1 skipped$/m, output)
    }
  },
)

testShared(
  'models are loaded, loaded again with another configuration, and unloaded in explicit mode',
  {},
  async (t) => {
    const store = temporaryFolder(t)
    const names = [
      'identity',
      'simple',
      'simple_dyna_sequence',
      'simple_identity',
      'simple_int8',
      'simple_sequence',
      'simple_string',
    ]
    for (const name of names) {
      assert.ok(existsSync(path.join(modelFolder, name)))
      cpSync(path.join(modelFolder, name), path.join(store, name), { recursive: true })
    }
    const server = await serve(t, [], {
      serverName: 'triton',
      modelStore: store,
      load: 'none',
      exposeRepository: true,
    })
    for (const STRICT_CT of ['0', '1']) {
      const output = await replay(server.inferenceUrl, { MODE: 'explicit', STRICT_CT })
      assert.match(output, /^1 pass, 0 fail, \d+ skipped$/m, output)
    }
  },
)
