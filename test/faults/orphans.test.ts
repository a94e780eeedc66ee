/** What is left of a server that was killed: nothing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { pythonArchive } from '../helpers/python-model.ts'
import { startProcess } from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { childrenOf, isAlive, temporaryFolder, until } from '../helpers/server.ts'

/** Starts a process that nobody waits for, deaf to gentle signals, and prints its pid. */
const START = `trap "" TERM HUP INT; sleep 300 >/dev/null 2>&1 & echo $!`

/** Has the handler do something, and returns its answer. */
async function ask({ inferenceUrl }: ServerProcess, wish: string): Promise<string> {
  const answer = await fetch(`${inferenceUrl}/predictions/m`, { method: 'POST', body: wish })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return text
}

async function assertGone(pids: readonly number[]): Promise<void> {
  await until(() => pids.every((pid) => !isAlive(pid)), 15_000)
}

/** A process that has nothing to do with the server. */
function bystander(t: TestContext): number {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  return child.pid ?? 0
}

test('E11: when the server is killed, what its workers have started is gone too, and nobody else', async (t) => {
  const model = handlerModel(t, 'm', { workers: 1 })
  for (const isBusy of [false, true]) {
    const server = await startProcess(t, temporaryFolder(t), ['--allow-handlers', model])
    const other = bystander(t)
    const [worker = 0] = childrenOf(server.pid)
    const started = Number(await ask(server, `shell:${START}`))
    const { pid: child } = JSON.parse(await ask(server, 'child'))
    assert.ok(isAlive(started) && isAlive(child) && isAlive(worker))
    // A handler that computes sees neither the end of its connection nor a signal.
    if (isBusy) {
      const before = processorTicks(worker)
      ask(server, 'spin').catch(() => {})
      await until(() => processorTicks(worker) > before + 10)
    }
    await server.kill()
    await assertGone([worker, started, child])
    assert.ok(isAlive(other))
  }
})

test('E11: what a worker has started goes when its model goes, and when it dies', async (t) => {
  const model = handlerModel(t, 'm', { workers: 1 })
  const server = await startProcess(t, temporaryFolder(t), ['--allow-handlers', model])
  const first = Number(await ask(server, `shell:${START}`))
  const dying = fetch(`${server.inferenceUrl}/predictions/m`, { method: 'POST', body: 'exit:3' })
  assert.equal((await dying).status, 500)
  await assertGone([first])
  const second = Number(await ask(server, `shell:${START}`))
  assert.equal((await server.call('DELETE', '/models/m')).status, 200)
  await assertGone([second])
  await server.close()
})

test('E11: when the server is killed, a worker in Python and what it has started are gone too', async (t) => {
  const folder = temporaryFolder(t)
  const python = path.join(folder, 'python')
  const pids = path.join(folder, 'pids')
  // It starts a process and never listens.
  writeFileSync(
    python,
    `#!/bin/sh\n[ "$1" = -c ] && { echo '["3.12.1", "/mms", ""]'; exit; }\nsleep 300 & echo "$$ $!" >${pids}; sleep 300\n`,
  )
  chmodSync(python, 0o755)
  const args = ['--allow-handlers', '--allow-local-paths', '--python', python]
  const server = await startProcess(t, folder, args)
  const url = pythonArchive(folder, { flavor: 'mms', name: 'm' })
  server.call('POST', `/models?url=${encodeURIComponent(url)}&initial_workers=1`).catch(() => {})
  const text = await until(() => {
    try {
      const read = readFileSync(pids, 'utf8')
      return read.endsWith('\n') && read
    } catch {
      return false
    }
  })
  const started = text.trim().split(' ').map(Number)
  assert.equal(started.length, 2)
  await server.kill()
  await assertGone(started)
})

/** Processor time of a process, in hundredths of a second. */
function processorTicks(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')
  return Number(fields.split(' ')[11])
}
