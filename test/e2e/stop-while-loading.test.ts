/** A signal while models are being loaded: loading stops, and the process ends well and soon. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { processesNaming } from '../helpers/server-process.ts'
import { childrenOf, CLI, isAlive, temporaryFolder, until } from '../helpers/server.ts'

const iris = path.resolve('examples/iris')
/** Two seconds are promised; the machine of a test run may be busy with other tests. */
const LIMIT_MS = 5000

interface Running {
  readonly pid: number
  readonly temporary: string
  output(): string
  errors(): string
  /** Sends signals and gives the exit code and the time it took. */
  end(...signals: NodeJS.Signals[]): Promise<{ code: number | null; ms: number }>
  /** Waits for a line of the log. */
  logged(pattern: RegExp): Promise<RegExpExecArray>
}

/** Starts the command without waiting for it to be ready. */
function start(t: TestContext, args: readonly string[]): Running {
  const temporary = path.join(temporaryFolder(t), 't')
  mkdirSync(temporary)
  const child = spawn(
    process.execPath,
    [CLI, 'serve', '--port', '0', '--management-port', '0', '--log-level', 'debug', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: temporary } },
  )
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const pid = child.pid ?? 0
  return {
    pid,
    temporary,
    output: () => output,
    errors: () => errors,
    end: async (...signals) => {
      const startedAt = performance.now()
      for (const signal of signals) child.kill(signal)
      const [code] = (await exited) as [number | null]
      return { code, ms: performance.now() - startedAt }
    },
    logged: (pattern) =>
      until(() => {
        assert.equal(child.exitCode, null, `it runs: ${errors}`)
        return pattern.exec(errors) ?? false
      }),
  }
}

async function assertEndsWell(server: Running, ...signals: NodeJS.Signals[]): Promise<void> {
  const workers = childrenOf(server.pid)
  const { code, ms } = await server.end(...signals)
  assert.equal(code, 0, server.errors())
  assert.ok(ms < LIMIT_MS, `it took ${ms} ms`)
  assert.equal(server.output(), '', 'it never said that it is ready')
  await until(() => workers.every((pid) => !isAlive(pid)))
  assert.deepEqual(processesNaming(server.temporary), [])
}

/** A model whose code waits for ever while it is loaded, and says so. */
function waitingModel(t: TestContext, name: string, folder = handlerModel(t, name)): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'console.error("it begins"); await new Promise(() => setInterval(() => {}, 1e6))\nexport function handle() {}\n',
  )
  return folder
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`B3: ${signal} while models load ends the loading, with exit code 0`, async (t) => {
    const store = temporaryFolder(t)
    for (let index = 0; index < 6; index++) {
      waitingModel(t, '', path.join(store, `w${index}`))
      copyFileSync(path.join(iris, 'model.onnx'), path.join(store, `z${index}.onnx`))
    }
    const server = start(t, ['--model-store', store, '--allow-handlers'])
    await server.logged(/it begins/)
    await assertEndsWell(server, signal)
    assert.doesNotMatch(server.errors(), /model ready|failed to load/)
  })
}

test('B3: a signal during the warm-up run of a model ends it', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'endless.onnx'), endlessModel())
  const server = start(t, ['--model-store', store])
  await server.logged(/The warm-up run begins/)
  await assertEndsWell(server, 'SIGTERM')
})

test('B3: a signal right after the start, before any worker is there', async (t) => {
  const server = start(t, [waitingModel(t, 'slow'), '--allow-handlers'])
  await server.logged(/./)
  await assertEndsWell(server, 'SIGTERM')
})

test('B3: a signal while the state is restored changes nothing of the state', async (t) => {
  const folder = temporaryFolder(t)
  const state = path.join(folder, 'state')
  const store = path.join(folder, 'store')
  const model = path.join(store, 'slow')
  mkdirSync(model, { recursive: true })
  writeFileSync(path.join(model, 'model.json'), '{"handler":"service.mjs:handle"}')
  writeFileSync(path.join(model, 'service.mjs'), 'export function handle() { return [] }\n')
  copyFileSync(path.join(iris, 'model.onnx'), path.join(store, 'iris.onnx'))
  const args = ['--model-store', store, '--load', 'none', '--state-dir', state, '--allow-handlers']
  const first = start(t, args)
  const [, address = ''] = await until(() => /management (\S+)/.exec(first.output()) ?? false)
  for (const url of ['slow', 'iris.onnx']) {
    const answer = await fetch(`${address}/models?url=${url}`, { method: 'POST' })
    assert.equal(answer.status, 200, await answer.text())
  }
  assert.equal((await first.end('SIGTERM')).code, 0)
  waitingModel(t, '', model)
  const second = start(t, args)
  await second.logged(/it begins/)
  await assertEndsWell(second, 'SIGTERM')
  writeFileSync(path.join(model, 'service.mjs'), 'export function handle() { return [] }\n')
  const third = start(t, args)
  const [, again = ''] = await until(() => /management (\S+)/.exec(third.output()) ?? false)
  const list = (await (await fetch(`${again}/models`)).json()) as {
    models: { modelName: string }[]
  }
  assert.deepEqual(
    list.models.map(({ modelName }) => modelName),
    ['iris', 'slow'],
  )
  assert.equal((await third.end('SIGTERM')).code, 0)
})

test('B3: a signal ends what requests load, download and scale, and they hear of it', async (t) => {
  const silent = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': '1000000' })
    response.write('x')
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const { port } = silent.address() as AddressInfo
  const gate = path.join(temporaryFolder(t), 'gate')
  const growing = handlerModel(t, 'growing')
  writeFileSync(
    path.join(growing, 'service.mjs'),
    `import { existsSync } from 'node:fs'
     if (existsSync(${JSON.stringify(gate)})) await new Promise(() => setInterval(() => {}, 1e6))
     export function handle() { return [] }`,
  )
  const origin = `http://127.0.0.1:${port}`
  const server = start(t, [
    growing,
    '--allow-handlers',
    '--allow-local-paths',
    '--allow-private-addresses',
    '--allowed-origins',
    origin,
  ])
  const [, address = ''] = await until(() => /management (\S+)/.exec(server.output()) ?? false)
  writeFileSync(gate, '')
  const call = async (method: string, route: string): Promise<[number, string]> => {
    const answer = await fetch(address + route, { method })
    return [answer.status, await answer.text()]
  }
  const loading = call('POST', `/models?url=${waitingModel(t, 'slow')}`)
  await server.logged(/it begins/)
  const waiting = Promise.all([
    loading,
    call('POST', `/models?url=${origin}/model.onnx&model_name=far`),
    call('PUT', '/models/growing?min_worker=2&synchronous=true'),
    call('PUT', '/models/slow?min_worker=2&synchronous=true'),
  ])
  await until(async () => (await call('GET', '/models'))[1].includes('"transfers"'))
  await until(async () => (await call('GET', '/models/growing'))[1].includes('LOADING'))
  const { code, ms } = await server.end('SIGTERM')
  assert.equal(code, 0)
  assert.ok(ms < LIMIT_MS, `it took ${ms} ms`)
  for (const [status, text] of await waiting) {
    assert.equal(status, 503, text)
    assert.match(text, /The server is stopping/)
  }
})

test('B3: a second signal ends at once what still waits for a request', async (t) => {
  const busy = handlerModel(t, 'busy')
  writeFileSync(
    path.join(busy, 'service.mjs'),
    `export async function handle(data) {
       if (data === undefined) return
       console.error('at work')
       await new Promise(() => setInterval(() => {}, 1e6))
     }`,
  )
  const server = start(t, [busy, '--allow-handlers', '--drain-timeout', '60'])
  const [, address = ''] = await until(() => /Inference (\S+),/.exec(server.output()) ?? false)
  fetch(`${address}/predictions/busy`, { method: 'POST', body: 'x' }).catch(() => {})
  await server.logged(/at work/)
  process.kill(server.pid, 'SIGTERM')
  await server.logged(/"stopping"/)
  // Signals within half a second of the first are taken for the same Ctrl-C.
  await new Promise((resolve) => setTimeout(resolve, 600))
  const { ms, code } = await server.end('SIGTERM')
  assert.equal(code, 1)
  assert.ok(ms < LIMIT_MS, `it took ${ms} ms`)
  await until(() => processesNaming(server.temporary).length === 0)
})
