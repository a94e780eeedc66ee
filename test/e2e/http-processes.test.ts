/** A server with several HTTP processes: one port, the same models in each. */
import assert from 'node:assert/strict'
import http from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { addingModel, writeNumbered } from '../helpers/numbered-models.ts'
import { workersOf } from '../helpers/observe.ts'
import { iris, processTree, startLoad } from '../helpers/server-process.ts'
import { childrenOf, isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

interface Answer {
  readonly status: number
  readonly text: string
}

/** Sends a request on a connection of its own: the kernel chooses a process for each. */
function ask(server: TestServer, route: string, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body.startsWith('{') ? { 'content-type': 'application/json' } : {}
    const options = { method: 'POST', agent: false, headers }
    const request = http.request(server.inferenceUrl + route, options, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** Sends many requests at once, so that all processes get some. */
function askMany(server: TestServer, route: string, body = '{"x":[0]}'): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 24 }, () => ask(server, route, body)))
}

/** What many requests got, each answer once. */
async function answersOf(server: TestServer, route: string): Promise<string[]> {
  const answers = await askMany(server, route)
  const shown = answers.map(({ status, text }) =>
    status === 200 ? (/-?\d+(?:\.\d+)?(?=\s*\])/.exec(text)?.[0] ?? text) : String(status),
  )
  return [...new Set(shown)]
}

/** Process ids of the further HTTP processes. */
function shardPids(server: TestServer): number[] {
  return server.logLines
    .filter(({ msg }) => msg === 'an HTTP process listens')
    .map(({ pid }) => Number(pid))
    .filter(isAlive)
}

async function manage(server: TestServer, method: string, route: string): Promise<void> {
  const response = await server.manage(route, { method })
  const text = await response.text()
  assert.ok(response.ok, `${method} ${route}: ${response.status} ${text}`)
}

test('all processes serve the same models when a change is answered', async (t) => {
  const store = path.join(temporaryFolder(t), 'store')
  writeNumbered(store, 'm1', 1)
  writeNumbered(store, 'm2', 2)
  writeNumbered(store, path.join('many', '1'), 11)
  writeNumbered(store, path.join('many', '2'), 12)
  const tool = handlerModel(t, 'tool')
  const stateDir = temporaryFolder(t)
  const models = { modelStore: store, load: 'm1', stateDir, allowHandlers: true }
  const settings = { ...models, httpProcesses: 2 }
  const server = await serve(t, [tool], settings)

  await t.test('requests are divided, and each process has its own workers', async () => {
    const pids = new Set<string>()
    await until(async () => {
      for (const { status, text } of await askMany(server, '/predictions/tool', 'pid')) {
        assert.equal(status, 200, text)
        pids.add(text)
      }
      return pids.size === 2
    })
    const line = await server.logged(({ msg, shard }) => msg === 'request' && shard === 1)
    assert.equal(line['route'], '/predictions/:model')
    assert.deepEqual(await answersOf(server, '/predictions/m1'), ['1'])
  })

  await t.test('a line of the log stays one line, whatever a handler prints', async () => {
    const isWhole = ({ line, shard }: Record<string, unknown>): boolean =>
      /^one.two$/s.test(String(line)) && shard === 1
    await until(async () => {
      await askMany(server, '/predictions/tool', 'print:one\u2028two')
      return server.logLines.some(isWhole)
    })
    assert.deepEqual(server.messages, [])
  })

  await t.test('register, unregister, and a failed registration', async () => {
    assert.deepEqual(await answersOf(server, '/predictions/m2'), ['404'])
    await manage(server, 'POST', '/models?url=m2')
    assert.deepEqual(await answersOf(server, '/predictions/m2'), ['2'])
    const failed = await server.manage('/models?url=m3', { method: 'POST' })
    assert.equal(failed.status, 404)
    await manage(server, 'DELETE', '/models/m2')
    assert.deepEqual(await answersOf(server, '/predictions/m2'), ['404'])
    await manage(server, 'DELETE', '/models/m1')
    assert.deepEqual(await answersOf(server, '/predictions/m1'), ['404'])
  })

  await t.test('default version, labels and weights', async () => {
    await manage(server, 'POST', '/models?url=many')
    assert.deepEqual(await answersOf(server, '/predictions/many'), ['12'])
    await manage(server, 'PUT', '/models/many/1/set-default')
    assert.deepEqual(await answersOf(server, '/predictions/many'), ['11'])
    const routing = { labels: { next: '2' }, weights: { next: 1 } }
    const init = { method: 'PUT', body: JSON.stringify(routing) }
    assert.equal((await server.manage('/models/many/routing', init)).status, 200)
    assert.deepEqual(await answersOf(server, '/predictions/many'), ['12'])
    await manage(server, 'DELETE', '/models/many/routing')
    assert.deepEqual(await answersOf(server, '/predictions/many'), ['11'])
    await manage(server, 'DELETE', '/models/many/2')
    assert.deepEqual(await answersOf(server, '/predictions/many/2'), ['404'])
  })

  await t.test('a model with new files is loaded again', async () => {
    writeNumbered(store, 'm1', 100)
    await manage(server, 'POST', '/v2/repository/models/m1/load')
    assert.deepEqual(await answersOf(server, '/predictions/m1'), ['100'])
    writeNumbered(store, 'm1', 101)
    await manage(server, 'POST', '/v2/repository/models/m1/load')
    assert.deepEqual(await answersOf(server, '/predictions/m1'), ['101'])
  })

  await t.test('scaling changes the workers of each process', async () => {
    const workers = (): number => processTree(server.pid).length - 2
    const before = workers()
    await manage(server, 'PUT', '/models/tool?min_worker=4&synchronous=true')
    assert.equal(workers(), before + 2)
    await manage(server, 'PUT', '/models/tool?min_worker=1&synchronous=true')
    await until(() => workers() === before)
  })

  await t.test('metrics and the list of workers are those of all processes', async () => {
    const count = async (): Promise<number> => {
      const text = await (await server.manage('/metrics')).text()
      const series = 'onnxd_requests_total{model="tool",version="1.0",status_class="2xx"}'
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(series))
          ?.split(' ')
          .at(-1),
      )
    }
    const before = await count()
    await askMany(server, '/predictions/tool', 'pid')
    assert.equal(await count(), before + 24)
    const text = await (await server.manage('/metrics?name[]=process_open_fds')).text()
    assert.match(text, /^process_open_fds\{shard="0"\} \d+\nprocess_open_fds\{shard="1"\} \d+$/m)
    const workers = await workersOf(server, 'tool')
    assert.deepEqual(
      workers.map(({ id, status }) => [id.includes('.'), status]),
      [
        [false, 'READY'],
        [true, 'READY'],
      ],
    )
    assert.ok(workers.every(({ pid }) => isAlive(pid)))
  })

  await t.test('a process that hangs does not stop the metrics and health checks', async () => {
    const [pid] = shardPids(server)
    assert.ok(pid !== undefined)
    process.kill(pid, 'SIGSTOP')
    try {
      const text = await (await server.manage('/metrics')).text()
      assert.match(text, /^onnxd_http_processes\{state="listening"\} 2$/m)
      assert.equal((await server.manage('/v2/health/ready')).status, 200)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })

  await t.test('workers that are killed in another process are replaced', async () => {
    const [pid] = shardPids(server)
    assert.ok(pid !== undefined)
    const workers = childrenOf(pid)
    for (const worker of workers) process.kill(worker, 'SIGKILL')
    await until(
      () => childrenOf(pid).filter((one) => !workers.includes(one)).length === workers.length,
    )
    await until(async () => (await answersOf(server, '/predictions/m1')).join() === '101')
  })

  await t.test('a killed process costs its own requests only, and is replaced', async () => {
    const [pid] = shardPids(server)
    assert.ok(pid !== undefined)
    const workers = childrenOf(pid)
    const load = startLoad(`${server.inferenceUrl}/predictions/tool`, 4, 5)
    await new Promise((resolve) => setTimeout(resolve, 200))
    process.kill(pid, 'SIGKILL')
    await until(() => shardPids(server).length === 1 && !isAlive(pid))
    assert.equal((await server.fetch('/v2/health/ready')).status, 200)
    await load.stop()
    const { lost = 0 } = Object.fromEntries(load.answers) as { lost?: number }
    assert.ok(lost <= 4, `${lost} requests were lost:\n${load.problems.join('\n')}`)
    assert.ok([...load.answers.keys()].every((status) => status === 'lost' || status === 200))
    await until(() => workers.every((worker) => !isAlive(worker)))
    const line = await server.logged(({ msg }) => /an HTTP process has ended/.test(String(msg)))
    assert.deepEqual([line['cause'], line['detail']], ['signal', 'SIGKILL'])
    const restarts = await (await server.manage('/metrics')).text()
    assert.match(restarts, /^onnxd_http_process_restarts_total\{cause="signal"\} 1$/m)
    // The new process has the models as they are now.
    assert.deepEqual(await answersOf(server, '/predictions/m1'), ['101'])
    assert.deepEqual(await answersOf(server, '/predictions/m2'), ['404'])
  })

  await t.test('all processes serve what the state remembers', async (part) => {
    const upload = new FormData()
    upload.set('model', new Blob([addingModel(5)]), 'sent.onnx')
    const sent = await server.manage('/models?initial_workers=2', { method: 'POST', body: upload })
    assert.equal(sent.status, 200, await sent.text())
    assert.deepEqual(await answersOf(server, '/predictions/sent'), ['5'])
    await server.close()
    const again = await serve(part, [tool], settings)
    for (const [model, answer] of [
      ['sent', '5'],
      ['m1', '101'],
      ['many', '11'],
      ['m2', '404'],
    ])
      assert.deepEqual(await answersOf(again, `/predictions/${model}`), [answer])
    assert.equal((await workersOf(again, 'sent')).length, 2)
  })
})

test('no request is lost when the server stops, and no process is left', async (t) => {
  const server = await serve(t, [iris], { httpProcesses: 3, stopDelay: 5 })
  assert.equal(shardPids(server).length, 2)
  const tree = processTree(server.pid)
  const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 8, 2)
  await until(() => (load.answers.get(200) ?? 0) > 100)
  // A terminal sends its signal to all processes of the group.
  for (const pid of shardPids(server)) process.kill(pid, 'SIGINT')
  const closed = server.close()
  await until(async () => (await server.fetch('/ping')).status === 503)
  await load.stop()
  await closed
  assert.deepEqual([...load.answers.keys()], [200], load.problems.join('\n'))
  assert.deepEqual(tree.filter(isAlive), [])
})

test('no process outlives process 0', async (t) => {
  const server = await serve(t, [iris], { httpProcesses: 2 })
  const tree = processTree(server.pid)
  assert.ok(tree.length >= 4)
  await server.kill()
  await until(() => tree.every((pid) => !isAlive(pid)))
})

test('a model that only one process cannot load costs that process, not the clients', async (t) => {
  const store = path.join(temporaryFolder(t), 'store')
  writeNumbered(store, 'm1', 1)
  const server = await serve(t, [], { httpProcesses: 2, modelStore: store })
  const [pid] = shardPids(server)
  assert.ok(pid !== undefined)
  // Process 0 serves the old files; a new process would serve other ones.
  writeNumbered(store, 'm1', 7)
  process.kill(pid, 'SIGKILL')
  const failed = await server.logged(({ msg }) => /cannot serve the models/.test(String(msg)))
  assert.match(String(failed['reason']), /files of model m1 changed/)
  assert.deepEqual(await answersOf(server, '/predictions/m1'), ['1'])
  const again = await server.logged(({ nextStartMs }) => Number(nextStartMs) > 0)
  assert.equal(again['cause'], 'failed')
  await manage(server, 'POST', '/v2/repository/models/m1/load')
  await until(() => shardPids(server).length === 1)
  assert.deepEqual(await answersOf(server, '/predictions/m1'), ['7'])
  assert.deepEqual(await json(await server.fetch('/ping')), { status: 'Healthy' })
})
