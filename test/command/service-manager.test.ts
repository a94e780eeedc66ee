/** Messages to systemd, of a server that was started as a service with `Type=notify`. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ServiceManager } from '../../src/command/service-manager.ts'
import { needs } from '../helpers/needs.ts'
import { CLI, serve, temporaryFolder, until } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
const UNIT = path.join('deploy', 'systemd', 'onnxd.service')
/** Where the unit expects the installed command. */
const INSTALLED = '/usr/local/bin/onnxd'
/** Receives datagrams and prints the lines of each, except the end of each message. */
const LISTENER = `
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print('LISTENING', flush=True)
while True:
    for line in listener.recv(65536).decode().split('\\n'):
        if line != 'BARRIER=1': print(line, flush=True)
`

/** A program `systemd-notify` that writes its arguments into a file, first of its PATH. */
function fakeProgram(
  t: TestContext,
  script = 'for word; do echo "$word"; done >> "$NOTIFY_SOCKET"',
): {
  readonly environment: NodeJS.ProcessEnv
  messages(): string[]
} {
  const folder = temporaryFolder(t)
  const program = path.join(folder, 'systemd-notify')
  writeFileSync(program, `#!/bin/sh\n${script}\n`)
  chmodSync(program, 0o755)
  const file = path.join(folder, 'messages')
  return {
    environment: { PATH: `${folder}:${process.env['PATH']}`, NOTIFY_SOCKET: file },
    messages: () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []),
  }
}

interface Warnings {
  readonly lines: string[]
  warn(fields: object, message: string): void
}

function warnings(): Warnings {
  const lines: string[] = []
  return { lines, warn: (fields, message) => lines.push(`${message} ${JSON.stringify(fields)}`) }
}

test(
  'systemd gets READY=1 when predictions work, WATCHDOG=1 meanwhile, STOPPING=1 at the stop',
  { skip: needs('systemd-notify', '--version') || needs('python3', '--version') },
  async (t) => {
    const socket = path.join(temporaryFolder(t), 'notify')
    const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: 'pipe' })
    t.after(() => listener.kill('SIGKILL'))
    const lines: string[] = []
    createInterface(listener.stdout).on('line', (line) => lines.push(line))
    await until(() => lines.length > 0)

    const environment = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '100000' }
    const server = await serve(t, [iris, '/no/such/model.onnx'], {}, { environment })
    await until(() => {
      const readyAt = lines.indexOf('READY=1')
      return readyAt > 0 && lines.lastIndexOf('WATCHDOG=1') > readyAt
    })
    await server.close()
    const states = lines.filter((line) => line !== 'WATCHDOG=1')
    assert.deepEqual(states, [
      'LISTENING',
      'STATUS=Loading models',
      'READY=1',
      `STATUS=Serving at ${server.inferenceUrl}: 1 models loaded at the start, 1 failed to load`,
      'STOPPING=1',
      'STATUS=Finishing accepted requests',
    ])
    assert.deepEqual(
      server.logLines.filter(({ msg }) => /systemd/.test(String(msg))),
      [],
    )
  },
)

test('messages arrive in their order, and all of them before the end', async (t) => {
  const { environment, messages } = fakeProgram(t)
  const log = warnings()
  const manager = new ServiceManager(environment, log, process.pid)
  const numbers = Array.from({ length: 20 }, (_, index) => `STATUS=${index}`)
  for (const message of numbers) manager.notify(message, 'X=1')
  await manager.close()
  assert.deepEqual(
    messages(),
    numbers.flatMap((message) => [message, 'X=1']),
  )
  assert.deepEqual(log.lines, [])
})

test('the watchdog of another process gets no message', async (t) => {
  const [unwatched, watched] = [fakeProgram(t), fakeProgram(t)]
  const managers = [unwatched, watched].map(({ environment }) => {
    const variables = { ...environment, WATCHDOG_USEC: '2000', WATCHDOG_PID: '12' }
    return new ServiceManager(variables, warnings(), environment === watched.environment ? 12 : 13)
  })
  await until(() => watched.messages().length > 2)
  for (const manager of managers) {
    manager.notify('STATUS=last')
    await manager.close()
  }
  assert.deepEqual(unwatched.messages(), ['STATUS=last'])
  assert.deepEqual([...new Set(watched.messages())], ['WATCHDOG=1', 'STATUS=last'])
})

test('a failure is logged once, and the next message is tried', async (t) => {
  const { environment, messages } = fakeProgram(
    t,
    'echo "$1" >> "$NOTIFY_SOCKET"; echo no bus >&2; exit 1',
  )
  const log = warnings()
  const manager = new ServiceManager(environment, log, process.pid)
  for (const message of ['A=1', 'B=2']) manager.notify(message)
  await manager.close()
  assert.deepEqual(messages(), ['A=1', 'B=2'])
  assert.equal(log.lines.length, 1)
  assert.match(
    log.lines[0] ?? '',
    /^cannot notify systemd, because systemd-notify failed\..*no bus/,
  )
})

test('a machine without the program gets one warning', async (t) => {
  const environment = { PATH: temporaryFolder(t), NOTIFY_SOCKET: '/run/systemd/notify' }
  const log = warnings()
  const manager = new ServiceManager(environment, log, process.pid)
  for (const message of ['A=1', 'B=2']) manager.notify(message)
  await manager.close()
  assert.equal(log.lines.length, 1)
  assert.match(log.lines[0] ?? '', /ENOENT/)
})

test(
  'systemd-analyze finds nothing wrong in the unit',
  { skip: needs('systemd-analyze', '--version') },
  (t) => {
    const unit = path.join(temporaryFolder(t), 'onnxd.service')
    const text = readFileSync(UNIT, 'utf8')
    assert.ok(text.includes(`ExecStart=${INSTALLED} serve `))
    writeFileSync(unit, text.replace(INSTALLED, CLI))
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], {
      encoding: 'utf8',
    })
    // Some versions also look at the units that this one needs.
    const problems = `${stdout}${stderr}`.split('\n').filter((line) => line.includes(unit))
    assert.deepEqual([status, problems], [0, []], stderr)
  },
)
