/** What the server and its workers do at each signal. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { childrenOf, CLI, temporaryFolder, until } from '../helpers/server.ts'

const READY = /ready\.\r?\nInference (\S+),/
/** `script` runs a command with a terminal as its standard streams. */
const needsScript =
  spawnSync('script', ['--version']).status === 0 ? false : 'needs the program `script`'

/** A namespace in which the command is PID 1, as it is in a container. */
const NAMESPACE = ['--pid', '--fork', '--kill-child', '--mount-proc']
const needsNamespace =
  spawnSync('unshare', [...NAMESPACE, 'true']).status === 0 ? false : 'needs leave to `unshare`'

interface Started {
  readonly child: ChildProcess
  /** Both streams together. */
  readonly output: () => string
  readonly inference: string
}

async function start(t: TestContext, command: string, args: readonly string[]): Promise<Started> {
  const env = { ...process.env, TMPDIR: temporaryFolder(t) }
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [, inference = ''] = await until(() => READY.exec(output) ?? false, 60_000)
  return { child, output: () => output, inference }
}

function serve(t: TestContext): Promise<Started> {
  const args = [CLI, 'serve', '--port', '0', '--management-port', '0', iris]
  return start(t, process.execPath, args)
}

async function predict({ inference }: Started): Promise<void> {
  const response = await fetch(`${inference}/predictions/iris`, FLOWER)
  assert.equal(response.status, 200)
  await response.text()
}

test('E16: SIGUSR1, SIGUSR2 and, without a terminal, SIGHUP do nothing; no debugger opens', async (t) => {
  const server = await serve(t)
  const [worker] = childrenOf(server.child.pid ?? 0)
  assert.ok(worker)
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
    server.child.kill(signal)
    if (signal !== 'SIGHUP') process.kill(worker, signal)
    await predict(server)
  }
  // The debugger would say so on a thread of its own; by the end of the process it has.
  server.child.kill('SIGTERM')
  assert.deepEqual(await once(server.child, 'close'), [0, null])
  assert.doesNotMatch(server.output(), /debugger/i)
  assert.doesNotMatch(server.output(), /worker died/)
  assert.equal(server.output().match(/"msg":"stopping"/g)?.length, 1)
})

test('E16: SIGTERM, SIGINT and SIGQUIT stop the server', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
    const server = await serve(t)
    server.child.kill(signal)
    assert.deepEqual(await once(server.child, 'close'), [0, null], signal)
    assert.match(server.output(), new RegExp(`"signal":"${signal}"`))
  }
})

test('E16: SIGHUP stops a server that has a terminal', { skip: needsScript }, async (t) => {
  const command = [process.execPath, CLI, 'serve', '--port', '0', '--management-port', '0', iris]
  const server = await start(t, 'script', ['-qefc', `exec ${command.join(' ')}`, '/dev/null'])
  const [pid] = childrenOf(server.child.pid ?? 0)
  assert.ok(pid)
  process.kill(pid, 'SIGHUP')
  assert.deepEqual(await once(server.child, 'close'), [0, null])
  assert.match(server.output(), /stopping .*signal=SIGHUP/)
})

test('E16: a fault of the process itself ends it, as the system has it', async (t) => {
  const server = await serve(t)
  server.child.kill('SIGSEGV')
  assert.deepEqual(await once(server.child, 'exit'), [null, 'SIGSEGV'])
})

test(
  'E12: as PID 1 it says that it needs an init, and stops as always',
  { skip: needsNamespace },
  async (t) => {
    const command = [process.execPath, CLI, 'serve', '--port', '0', '--management-port', '0']
    const server = await start(t, 'unshare', [...NAMESPACE, ...command])
    const [pid] = childrenOf(server.child.pid ?? 0)
    assert.ok(pid)
    process.kill(pid, 'SIGTERM')
    assert.deepEqual(await once(server.child, 'close'), [0, null])
    assert.equal(server.output().match(/"level":40.*runs as PID 1.*--init/g)?.length, 1)

    const usual = await serve(t)
    usual.child.kill('SIGTERM')
    await once(usual.child, 'close')
    assert.doesNotMatch(usual.output(), /PID 1/)
  },
)
