/** Ctrl-C while a model loads. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { CLI, childrenOf, isAlive, temporaryFolder, until } from '../helpers/server.ts'

/** A handler that never ends to load. */
function endlessModel(folder: string): string {
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'await new Promise(() => setInterval(() => {}, 1000))\nexport const handle = () => []\n',
  )
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  return folder
}

test('Ctrl-C during a load ends a command at once, says so and leaves no worker', async (t) => {
  const model = endlessModel(temporaryFolder(t))
  const args = [CLI, 'run', model, '-d', '[]', '--', '--allow-handlers']
  const child = spawn(process.execPath, args)
  t.after(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await until(() => childrenOf(child.pid ?? 0).length > 0)
  const workers = childrenOf(child.pid ?? 0)
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  assert.equal(code, 130)
  assert.equal(stderr, 'onnxd: interrupted\n')
  await until(() => !workers.some(isAlive))
})

test('a stop of the server during a load names the models in the log', async (t) => {
  const model = endlessModel(temporaryFolder(t))
  const args = [CLI, `slow=${model}`, '-p', '0', '--management-port', '0', '--allow-handlers']
  const child = spawn(process.execPath, args)
  t.after(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await until(() => childrenOf(child.pid ?? 0).length > 0)
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  assert.match(stderr, /"signal":"SIGINT","loading":\["slow"\],"msg":"stopping"/)
})
