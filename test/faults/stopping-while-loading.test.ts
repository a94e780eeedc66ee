/** Block O, row O12: signals while models are loaded or unregistered, and repeated signals. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import type { Command } from '../helpers/command.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { iris, processTree, processesNaming } from '../helpers/server-process.ts'
import { childrenOf, isAlive, temporaryFolder, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { size } from './harness.ts'

/** Two seconds are promised; the machine of a test run may be busy with other tests. */
const GOAL_MS = 2000
const LIMIT_MS = GOAL_MS + 4000

const start = (t: TestContext, args: readonly string[]): Command =>
  startCommand(t, ['--log-level', 'debug', ...args])

async function modelCount(management: string): Promise<number> {
  const list = (await (await fetch(`${management}/models`)).json()) as { models: unknown[] }
  return list.models.length
}

async function assertEndsWell(server: Command, ...signals: NodeJS.Signals[]): Promise<number> {
  const workers = childrenOf(server.pid)
  const { code, ms } = await server.end(...signals)
  assert.equal(code, 0, server.errors())
  assert.ok(ms < LIMIT_MS, `it took ${ms} ms`)
  assert.equal(server.output(), '', 'it never said that it is ready')
  await until(() => workers.every((pid) => !isAlive(pid)))
  assert.deepEqual(processesNaming(server.temporary), [])
  assert.deepEqual(readdirSync(server.temporary), [])
  return ms
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
  test(`O12 ${signal} while models load ends the loading, with exit code 0`, async (t) => {
    const store = temporaryFolder(t)
    for (let index = 0; index < 6; index++) {
      waitingModel(t, '', path.join(store, `w${index}`))
      copyFileSync(path.join(iris, 'model.onnx'), path.join(store, `z${index}.onnx`))
    }
    const server = start(t, ['--model-store', store, '--allow-handlers'])
    await server.logged(/it begins/)
    await assertEndsWell(server, signal)
    assert.doesNotMatch(server.errors(), /model loaded|failed to load/)
  })
}

test('O12 a signal during the warm-up run of a model ends it', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'endless.onnx'), endlessModel())
  const times: number[] = []
  for (let round = 0; round < size(1, 5); round += 1) {
    const server = start(t, ['--model-store', store])
    await server.logged(/The warm-up run begins/)
    times.push(await assertEndsWell(server, 'SIGTERM'))
  }
  const worst = Math.max(...times)
  reportFigure(t, {
    what: 'exit after SIGTERM: while a model loads',
    goal: '≤ 2 s',
    seen: `${(worst / 1000).toFixed(2)} s`,
    isMet: worst <= GOAL_MS,
  })
})

test('O12 a signal right after the start, before any worker is there', async (t) => {
  const server = start(t, [waitingModel(t, 'slow'), '--allow-handlers'])
  await server.logged(/./)
  await assertEndsWell(server, 'SIGTERM')
})

test('O12 a signal while the state is restored changes nothing of the state', async (t) => {
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
  const { management: address } = await first.ready()
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
  const { management: again } = await third.ready()
  const list = (await (await fetch(`${again}/models`)).json()) as {
    models: { modelName: string }[]
  }
  assert.deepEqual(
    list.models.map(({ modelName }) => modelName),
    ['iris', 'slow'],
  )
  assert.equal((await third.end('SIGTERM')).code, 0)
})

test('O12 a signal ends what requests load, download and scale, and they hear of it', async (t) => {
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
  const { management: address } = await server.ready()
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
    call('PUT', `/models/growing?min_worker=${2 * httpProcesses}&synchronous=true`),
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

test('O12 a second signal ends at once what still waits for a request', async (t) => {
  const busy = handlerModel(t, 'busy', { workers: 1 })
  const pairs = [
    ['SIGTERM', 'SIGTERM'],
    ['SIGTERM', 'SIGINT'],
    ['SIGINT', 'SIGTERM'],
  ] as const
  for (const [first, second] of pairs.slice(0, size(2, pairs.length))) {
    const server = start(t, [busy, '--allow-handlers', '--drain-timeout', '60'])
    const { inference } = await server.ready()
    const lost = fetch(`${inference}/predictions/busy`, { method: 'POST', body: 'child' })
      .then(() => fetch(`${inference}/predictions/busy`, { method: 'POST', body: 'spin' }))
      .catch(() => 'lost')
    // HTTP processes, a worker of each, and what one of the workers has started.
    const count = 2 * httpProcesses + 1
    const workers = await until(
      () => processTree(server.pid).length === count && processTree(server.pid),
    )
    process.kill(server.pid, first)
    await server.logged(/"stopping"/)
    // The same signal within half a second of the first is taken for the same Ctrl-C.
    if (first === second) await new Promise((resolve) => setTimeout(resolve, 600))
    const { ms, code } = await server.end(second)
    assert.equal(code, 1, `${first} ${second}`)
    assert.ok(ms < 1000 + 4000, `it took ${ms} ms`)
    await until(() => workers.every((pid) => !isAlive(pid)))
    assert.deepEqual(processesNaming(server.temporary), [])
    await until(() => readdirSync(server.temporary).length === 0)
    assert.equal(await lost, 'lost')
  }
})

test('O12 a Ctrl-C that comes twice, from the terminal and from npm, is one', async (t) => {
  const server = start(t, [iris])
  await server.ready()
  const { code } = await server.end('SIGINT', 'SIGINT')
  assert.equal(code, 0)
  assert.deepEqual(readdirSync(server.temporary), [])
})

test('O12 a signal while a model is unregistered ends both in time', async (t) => {
  const state = temporaryFolder(t)
  const model = handlerModel(t, 'm', { workers: 1 })
  const args = ['--allow-handlers', '--allow-local-paths', '--state-dir', state]
  const server = start(t, [...args, '--load', 'none', '--drain-timeout', '1', '--stop-delay', '0'])
  const { inference, management } = await server.ready()
  const registered = await fetch(`${management}/models?url=${model}`, { method: 'POST' })
  assert.equal(registered.status, 200, await registered.text())
  const slow = fetch(`${inference}/predictions/m`, { method: 'POST', body: 'spin' }).catch(() => {})
  const [worker = 0] = childrenOf(server.pid)
  await until(async () => {
    const text = await (await fetch(`${management}/metrics`)).text()
    return /^onnxd_batch_size_count\{[^}]*\} 1$/m.test(text)
  })
  const removed = fetch(`${management}/models/m`, { method: 'DELETE' }).catch(() => undefined)
  await until(async () => (await modelCount(management)) === 0)
  const { code, ms } = await server.end('SIGTERM')
  assert.equal(code, 0, server.errors())
  assert.ok(ms < 2000 + 4000, `it took ${ms} ms`)
  await until(() => !isAlive(worker))
  await Promise.all([slow, removed])
  // It was unregistered when the server said so, whether or not the caller heard of it.
  const next = start(t, [...args, '--load', 'none'])
  const again = await next.ready()
  assert.equal(await modelCount(again.management), 0)
  assert.equal((await next.end('SIGTERM')).code, 0)
})
