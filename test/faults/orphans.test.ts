/** Block O, row O07: what is left of a server that was killed: nothing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { workerPids } from '../helpers/observe.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { pythonArchive } from '../helpers/python-model.ts'
import { iris, processTree, startProcess } from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { isAlive, temporaryFolder, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { size } from './harness.ts'

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

/** What a worker does while its server is killed. `undefined`: nothing. */
const STATES: Readonly<Record<string, string | undefined>> = {
  idle: undefined,
  'in onnxruntime': 'onnx',
  'in for(;;)': 'spin',
  'in a call of the system': 'shell-sync:sleep 300',
}

test('O07 when the server is killed, its workers and what they have started end within a second', async (t) => {
  const model = handlerModel(t, 'm', { workers: 1 })
  addSystemCall(model)
  const endless = path.join(temporaryFolder(t), 'endless.onnx')
  writeFileSync(endless, endlessModel())
  const times: number[] = []
  for (let round = 0; round < size(1, 5); round += 1) {
    for (const [name, wish] of Object.entries(STATES)) {
      const args = ['--allow-handlers', '--allow-local-paths', model, `iris=${iris}`]
      const server = await startProcess(t, temporaryFolder(t), args)
      const other = bystander(t)
      const started = Number(await ask(server, `shell:${START}`))
      const { pid: child } = JSON.parse(await ask(server, 'child'))
      const workers = await workerPids(server, 'm')
      if (wish === 'onnx') {
        // It is still in its warm-up run when the server is killed.
        const url = `/models?url=${encodeURIComponent(endless)}&initial_workers=1`
        server.call('POST', url).catch(() => {})
        const known = processTree(server.pid)
        const pid = await until(() => processTree(server.pid).find((one) => !known.includes(one)))
        await until(() => processorTicks(pid) > 60)
      } else if (wish !== undefined) {
        const before = processTree(server.pid).length
        ask(server, wish).catch(() => {})
        const ticks = workers.map(processorTicks)
        const isBusy = (worker: number, index: number): boolean =>
          processorTicks(worker) > (ticks[index] ?? 0) + 10
        await until(() => workers.some(isBusy) || processTree(server.pid).length > before)
      }
      const pids = [...processTree(server.pid).filter((pid) => pid !== server.pid), started, child]
      assert.ok(pids.length >= 4, `${pids.length} processes`)
      assert.ok(pids.every((pid) => isAlive(pid)))
      const killedAt = performance.now()
      process.kill(server.pid, 'SIGKILL')
      await assertGone(pids)
      const ms = performance.now() - killedAt
      t.diagnostic(`${name}: ${ms.toFixed(0)} ms`)
      times.push(ms)
      await server.kill()
      assert.ok(isAlive(other))
    }
  }
  const worst = Math.max(...times)
  reportFigure(t, {
    what: 'front-end killed: workers and their children gone',
    goal: '≤ 1 s, all',
    seen: `${(worst / 1000).toFixed(2)} s, all of ${times.length} kills`,
    isMet: worst <= 1000,
  })
})

/** Lets the handler wait in a call of the system, as native code does. */
function addSystemCall(folder: string): void {
  const file = path.join(folder, 'service.mjs')
  const call = `case 'shell-sync': { const { execSync } = await import('node:child_process'); return String(execSync(argument)) }`
  const source = readFileSync(file, 'utf8')
  const changed = source.replace("case 'spin'", `${call}\n    case 'spin'`)
  assert.notEqual(changed, source)
  writeFileSync(file, changed)
}

test('O07 what a worker has started goes when its model goes, and when it dies', async (t) => {
  const model = handlerModel(t, 'm', { workers: 1 })
  const server = await startProcess(t, temporaryFolder(t), ['--allow-handlers', model])
  const pids = await ask(server, `shell:${START}; echo $PPID`)
  const [first = 0, worker = 0] = pids.trim().split('\n').map(Number)
  process.kill(worker, 'SIGKILL')
  await assertGone([first])
  const second = Number(await ask(server, `shell:${START}`))
  assert.equal((await server.call('DELETE', '/models/m')).status, 200)
  await assertGone([second])
  await server.close()
})

test('O07 when the server is killed, a worker in Python and what it has started are gone too', async (t) => {
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
