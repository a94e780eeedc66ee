/** A server that has no descriptor left for a new worker. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { childrenOf, CLI, temporaryFolder, until } from '../helpers/server.ts'

const READY = /ready\. Inference (\S+), management (\S+)\n/
const NOT_STARTED = /"cause":"[^"]*could not be started \(EMFILE\)/g
const needsPrlimit =
  spawnSync('prlimit', ['--version']).status === 0 ? false : 'needs the program `prlimit`'

test(
  'E14: workers that cannot be started for lack of descriptors do not close their model',
  { skip: needsPrlimit },
  async (t) => {
    const model = handlerModel(t, 'm', { workers: 2 })
    const ports = ['--port', '0', '--management-port', '0']
    const args = [CLI, 'serve', ...ports, '--allow-handlers', model]
    const env = { ...process.env, TMPDIR: temporaryFolder(t) }
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    t.after(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const [, inference = '', management = ''] = await until(
      () => READY.exec(output) ?? false,
      60_000,
    )
    const limit = (files: number): void => {
      execFileSync('prlimit', ['--pid', String(child.pid), `--nofile=${files}:`])
    }

    limit(10)
    for (const pid of childrenOf(child.pid ?? 0)) process.kill(pid, 'SIGKILL')
    // Five deaths in a minute would be the end of the model.
    await until(() => (output.match(NOT_STARTED)?.length ?? 0) >= 8)
    limit(4096)
    const init = { method: 'POST', body: 'echo:back' }
    const answer = await fetch(`${inference}/predictions/m`, init)
    assert.deepEqual([answer.status, await answer.text()], [200, 'back'])
    await until(async () => {
      const text = await (await fetch(`${management}/models/m`)).text()
      return JSON.parse(text).status === 'READY'
    })
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  },
)
