/** Ctrl-C while a model loads. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { hasTerminal, runInTerminal } from '../helpers/command-line.ts'
import { handlerModel } from '../helpers/handler-model.ts'
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

test(
  'a stop that waits for requests says so in a terminal, and a second Ctrl-C ends it',
  hasTerminal ? {} : { skip: 'python3 with the module pty is missing' },
  async (t) => {
    const model = handlerModel(t, 'slow')
    const held = path.join(temporaryFolder(t), 'never')
    const args = [model, '-p', '0', '--management-port', '0', '--allow-handlers']
    let [isSent, isStopped] = [false, false]
    const sent: Promise<unknown>[] = []
    const { code, output } = await runInTerminal(args, 100, {
      onOutput: (text, pid) => {
        const [, url] = /POST (\S+)/.exec(text) ?? []
        if (url !== undefined && !isSent) {
          isSent = true
          sent.push(fetch(url, { method: 'POST', body: `wait:${held}` }).catch(() => 'ended'))
          sent.push(until(() => existsSync(`${held}.held`)).then(() => process.kill(pid, 'SIGINT')))
        }
        if (text.includes('Press Ctrl-C again') && !isStopped) {
          isStopped = true
          process.kill(pid, 'SIGINT')
        }
      },
    })
    assert.match(output, /onnxd: accepted requests may run for up to \d+ s\. Press Ctrl-C again/)
    assert.equal(code, 1)
    assert.deepEqual(await Promise.all(sent), ['ended', true])
  },
)
