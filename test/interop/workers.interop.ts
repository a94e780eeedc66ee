/** The original workers of MMS and TorchServe behind onnxd, with handlers made for them. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { failedModels } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { needsPython, pythonArchive, pythonWorkers, useTorchStub } from '../helpers/python-model.ts'
import type { PythonModelOptions } from '../helpers/python-model.ts'
import { assertSame } from '../helpers/same.ts'
import { processesNaming, startProcess } from '../helpers/server-process.ts'
import { isAlive, json, runtimeFolder, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

for (const flavor of ['mms', 'torchserve'] as const) {
  test(
    `a handler made for ${flavor} gets requests and sends responses as in its own server`,
    { skip: needsPython },
    async (t) => {
      const { server } = await serveHandler(t, { flavor, name: 'm' })
      const route = '/predictions/m'
      const type = (contentType: string) => ({ 'content-type': contentType })
      const reports: [RequestInit, unknown][] = [
        [{ body: '{"a":[1,2.5,null]}', headers: type('application/json') }, { a: [1, 2.5, null] }],
        [{ body: 'grüße', headers: type('text/plain; charset=utf-8') }, 'grüße'],
        [{ body: Buffer.from([0, 255, 10]), headers: type('image/png') }, '00ff0a'],
        [{ body: '', headers: type('application/x-thing') }, ''],
      ]
      for (const [init, expected] of reports) {
        const answer = await server.fetch(route, { method: 'POST', ...init })
        assert.equal(answer.status, 200)
        const { body } = (await json(answer)) as { body: [string, unknown] }
        assert.deepEqual(body[1], expected)
      }
      const form = new FormData()
      form.set('field', 'text')
      form.set('file', new Blob([Buffer.from([1, 2, 3])], { type: 'application/x-thing' }), 'a.bin')
      const filled = await server.fetch(route, { method: 'POST', body: form })
      assert.deepEqual(await json(filled), {
        field: ['bytearray', Buffer.from('text').toString('hex')],
        file: ['bytearray', '010203'],
      })
      assert.deepEqual(await json(await ask(server, 'context')), {
        name: 'm',
        gpu: null,
        batch: 1,
        folder: true,
        handler: 'service:handle',
      })
      const status = await ask(server, 'status:418,Short and stout')
      assert.deepEqual([status.status, status.statusText], [418, 'Short and stout'])
      assert.equal((await ask(server, 'header:x-mine=yes')).headers.get('x-mine'), 'yes')
      assert.equal((await ask(server, 'type:text/csv')).headers.get('content-type'), 'text/csv')
      assert.equal(await (await ask(server, 'text:!')).text(), 'text é中 !')
      const bytes = Buffer.from(await (await ask(server, 'bytes')).arrayBuffer())
      assertSame(bytes, Buffer.from(Array.from({ length: 256 }, (_, index) => index)))
      const large = 3_000_000
      assert.equal((await (await ask(server, `large:${large}`)).text()).length, large)
      const sent = await ask(server, 'length', { body: Buffer.alloc(large, 7) })
      assert.equal(await sent.text(), String(large))
    },
  )

  test(
    `errors of a ${flavor} handler reach the client with its status`,
    { skip: needsPython },
    async (t) => {
      const { server } = await serveHandler(t, { flavor, name: 'm' })
      const before = await modelPid(server)
      const cases: [string, number, string][] = [
        ['raise:no', 503, 'Prediction failed'],
        ['memory', 507, 'Out of resources'],
        ['prediction:422,wrong', 422, 'wrong'],
        ['mapping', 503, 'Invalid model predict output'],
        ['surplus', 503, 'number of batch response mismatched'],
        ['unserializable', 503, 'Unsupported model output data type.'],
      ]
      for (const [wish, status, message] of cases) {
        const answer = await ask(server, wish)
        assert.equal(answer.status, status, wish)
        assert.equal(((await json(answer)) as { message: string }).message, message)
      }
      assert.equal(await modelPid(server), before, 'none of them costs the worker')
    },
  )

  test(
    `what a ${flavor} handler prints is in the log, its metrics are at /metrics`,
    { skip: needsPython },
    async (t) => {
      const { server } = await serveHandler(t, { flavor, name: 'm' })
      assert.equal((await ask(server, 'print:hello')).status, 200)
      for (const [line, stream] of [
        ['printed: hello', 'stdout'],
        ['to stderr: hello', 'stderr'],
        ['logged: hello', 'stdout'],
      ]) {
        const record = await server.logged((one) => one.line === line)
        assert.deepEqual([record.stream, record.level, record.model], [stream, 30, 'm'])
      }
      await ask(server, 'metric:3')
      const metric = await server.logged((one) =>
        String(one.line).startsWith('[METRICS]Answers.Count:3'),
      )
      assert.equal(metric.level, 20, 'metrics are for those who look closer')
      await ask(server, 'metric:4')
      const labels = `Hostname="${hostname()}",Level="Model",ModelName="m",model="m",version="1.0"`
      const text = await until(async () => {
        const page = await (await server.manage('/metrics')).text()
        return parseMetrics(page).get(`Answers{${labels}}`) === 7 && page
      })
      const time = parseMetrics(text).get(`PredictionTime{${labels}}`) ?? -1
      assert.ok(time >= 0 && time < 60_000, `${time} ms`)
      assert.match(text, /^# TYPE Answers counter$/m)
      assert.match(text, /^# TYPE PredictionTime gauge$/m)
      // More than a pipe holds: the worker would wait for ever if nobody read.
      assert.equal(await (await ask(server, 'flood:3000')).text(), 'flooded')
    },
  )

  test(`${flavor}: batches, scaling, and nothing is left`, { skip: needsPython }, async (t) => {
    const { server, archive } = await serveHandler(t, { flavor, name: 'm' }, [])
    const query = new URLSearchParams({
      url: archive,
      batch_size: '4',
      // The fourth request ends the wait, however late it comes.
      max_batch_delay: '30000',
      initial_workers: '1',
    })
    const registered = await server.manage(`/models?${query.toString()}`, { method: 'POST' })
    assert.equal(registered.status, 200, await registered.text())
    const sizes = await Promise.all(
      Array.from({ length: 4 }, async () => json(await ask(server, 'batch'))),
    )
    assert.deepEqual(
      sizes,
      Array.from({ length: 4 }, () => ({ size: 4 })),
    )
    for (const [count, expected] of [
      [3, 3],
      [1, 1],
    ] as const) {
      const scaled = await server.manage(
        `/models/m?min_worker=${count}&max_worker=${count}&synchronous=true`,
        { method: 'PUT' },
      )
      assert.equal(scaled.status, 200)
      assert.equal((await workerPids(server)).length, expected)
    }
    const runtime = runtimeFolder(server)
    assert.ok(processesNaming(runtime).length > 0)
    const removed = await server.manage('/models/m', { method: 'DELETE' })
    assert.equal(removed.status, 200)
    assert.deepEqual(processesNaming(runtime), [])
    await until(() => readdirSync(runtime).join() === 'server.sock')
  })

  test(
    `${flavor}: a request that takes too long costs its worker, not the model`,
    { skip: needsPython },
    async (t) => {
      const { server } = await serveHandler(t, { flavor, name: 'm' }, undefined, {
        responseTimeout: 1,
      })
      const before = await modelPid(server)
      const late = await ask(server, 'sleep:30000')
      assert.equal(late.status, 504)
      const after = await until(async () => {
        const answer = await ask(server, 'pid')
        return answer.status === 200 && ((await json(answer)) as { pid: number }).pid
      })
      assert.notEqual(after, before)
      assert.equal(isAlive(before), false)
    },
  )

  test(
    `${flavor}: killed workers under load are replaced, and nothing leaks`,
    { skip: needsPython },
    async (t) => {
      const { server } = await serveHandler(t, { flavor, name: 'm' }, undefined, { workers: 2 })
      const answers = new Map<number, number>()
      let isOver = false
      const clients = Promise.all(
        Array.from({ length: 8 }, async () => {
          while (!isOver) {
            const answer = await ask(server, 'sleep:5')
            await answer.arrayBuffer()
            answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1)
          }
        }),
      )
      const kills = 6
      for (let round = 0; round < kills; round += 1) {
        const workers = await until(async () => {
          const ready = await workerPids(server)
          return ready.length === 2 && ready
        })
        const [model = 0] = workers
        // Every second time the process above the one with the model: MMS's worker forks.
        const victim = round % 2 === 1 ? (parentOf(server, model) ?? model) : model
        process.kill(victim, 'SIGKILL')
        await until(async () => !(await workerPids(server)).includes(model))
      }
      await until(async () => (await workerPids(server)).length === 2)
      isOver = true
      await clients
      const [good = 0, lost = 0] = [answers.get(200), answers.get(500)]
      assert.deepEqual(
        [...answers.keys()].filter((status) => status !== 200 && status !== 500),
        [],
      )
      assert.ok(good > 50, `${good} answers`)
      assert.ok(lost <= kills, `${lost} requests lost with ${kills} workers`)
      const runtime = runtimeFolder(server)
      const perWorker = flavor === 'mms' ? 3 : 2
      await until(() => processesNaming(runtime).length <= 2 * perWorker)
      const left = (): string[] => readdirSync(runtime).filter((name) => /^w\d+$/.test(name))
      await until(() => left().length === 2)
      for (const name of left()) {
        assert.equal(readdirSync(path.join(runtime, name)).length, flavor === 'mms' ? 3 : 1)
      }
    },
  )

  test(
    `${flavor}: a model that cannot be loaded is refused with the reason`,
    { skip: needsPython },
    async (t) => {
      const { server, folder } = await serveHandler(t, { flavor, name: 'm' }, [])
      const broken: [string, string, number, RegExp][] = [
        [
          'missing-module',
          'import no_such_module',
          500,
          /ModuleNotFoundError: No module named 'no_such_module'/,
        ],
        ['syntax', 'def handle(:\n', 500, /SyntaxError: /],
        [
          'raises',
          'def handle(data, context):\n    raise ValueError("no weights")\n',
          500,
          /ValueError: no weights/,
        ],
        [
          'memory',
          'def handle(data, context):\n    raise MemoryError()\n',
          507,
          /System out of memory/,
        ],
        ['dies', 'import os\nos._exit(3)\n', 500, /Failed to start workers: the worker /],
      ]
      for (const [name, service, status, reason] of broken) {
        const url = pythonArchive(folder, { flavor, name, service })
        const answer = await server.manage(`/models?url=${encodeURIComponent(url)}`, {
          method: 'POST',
        })
        const text = await answer.text()
        assert.equal(answer.status, status, text)
        assert.match(text, reason)
        assert.doesNotMatch(text, /\/tmp\//)
      }
      assert.deepEqual(processesNaming(runtimeFolder(server)), [])
    },
  )

  test(`${flavor}: workers end with a server that was killed`, { skip: needsPython }, async (t) => {
    useTorchStub(t)
    const folder = temporaryFolder(t)
    const archive = pythonArchive(folder, { flavor, name: 'm' })
    const server = await startProcess(t, folder, [
      '--python',
      pythonWorkers,
      '--allow-handlers',
      '--worker-environment',
      'PYTHONPATH',
      archive,
    ])
    const busy = fetch(`${server.inferenceUrl}/predictions/m`, {
      headers: { 'x-do': 'sleep:60000' },
    })
    const lost = assert.rejects(busy)
    const runtime = runtimeFolder(server)
    assert.ok(processesNaming(runtime).length >= 2)
    await server.kill()
    await lost
    await until(() => processesNaming(runtime).length === 0, 3000)
  })
}

test(
  'what would kill the worker of MMS is refused before it gets there',
  { skip: needsPython },
  async (t) => {
    const { server } = await serveHandler(t, { flavor: 'mms', name: 'm' })
    const before = await modelPid(server)
    const headers = { 'content-type': 'application/json' }
    const bad = [
      '',
      '{"a":',
      '\u{feff}1',
      '01',
      "{'a': 1}",
      `[${'9'.repeat(5000)}]`,
      '['.repeat(100_000),
      '"\u0001"',
      'nan',
      '[NaN,]',
    ]
    for (const body of bad) {
      const answer = await server.fetch('/predictions/m', { method: 'POST', body, headers })
      assert.equal(answer.status, 400, body.slice(0, 20))
      await answer.arrayBuffer()
    }
    const latin = await server.fetch('/predictions/m', {
      method: 'POST',
      body: Buffer.from([0xe9]),
      headers: { 'content-type': 'text/plain' },
    })
    assert.equal(latin.status, 400)
    const good = [
      '0',
      'null',
      '[NaN,-Infinity,Infinity,"NaN"]',
      '"\\ud800"',
      '{"a":1,"a":2}',
      ` [${'['.repeat(400)}${']'.repeat(400)}] `,
      '9'.repeat(3999),
      '1e999',
      '"NaN [{"',
    ]
    for (const body of good) {
      const answer = await ask(server, 'batch', { body, headers })
      assert.equal(answer.status, 200, body.slice(0, 20))
      await answer.arrayBuffer()
    }
    assert.equal(await modelPid(server), before)
  },
)

test('TorchServe is asked to describe its models, MMS is not', { skip: needsPython }, async (t) => {
  const service = `
calls = []
def handle(data, context):
    if data is None:
        return
    calls.append(context.get_request_header(0, "describe"))
    return [{"described": list(calls)}]
`
  for (const [flavor, metadata] of [
    ['torchserve', { described: ['True'] }],
    ['mms', undefined],
  ] as const) {
    const { server } = await serveHandler(t, { flavor, name: 'm', service })
    const described = (await json(await server.manage('/models/m'))) as Record<string, unknown>
    assert.deepEqual(described.metadata, metadata)
    assert.equal(described.runtime, 'python')
  }
})

test(
  'model.json can ask for the other worker; a class is a handler as well',
  { skip: needsPython },
  async (t) => {
    const service = `
class Handler(object):
    def initialize(self, context):
        self.server = type(context).__module__

    def handle(self, data, context):
        return [self.server for _ in data]
`
    const files = { 'model.json': '{"pythonWorker": "torchserve"}' }
    const { server } = await serveHandler(t, {
      flavor: 'mms',
      name: 'm',
      service,
      files,
      handler: 'service.py',
    })
    assert.equal(await (await ask(server, 'report')).text(), 'ts.context')
  },
)

test('Python has to be configured and allowed', { skip: needsPython }, async (t) => {
  const folder = temporaryFolder(t)
  const url = pythonArchive(folder, { flavor: 'mms', name: 'm' })
  const register = `/models?url=${encodeURIComponent(url)}`
  for (const [settings, status, message] of [
    [{ allowHandlers: true }, 400, /has no Python\. Start it with --python/],
    [{ python: pythonWorkers }, 403, /--allow-handlers/],
  ] as const) {
    const server = await serve(t, [], { allowLocalPaths: true, ...settings })
    const answer = await server.manage(register, { method: 'POST' })
    assert.equal(answer.status, status)
    assert.match(await answer.text(), message)
  }
  await assert.rejects(
    serve(t, [], { python: path.join(folder, 'none', 'python') }),
    /cannot be started/,
  )
})

interface Served {
  readonly server: TestServer
  readonly folder: string
  readonly archive: string
}

/** A server with one Python model; with an empty list of models, the archive is only written. */
async function serveHandler(
  t: TestContext,
  options: PythonModelOptions,
  models?: readonly string[],
  settings = {},
): Promise<Served> {
  useTorchStub(t)
  const folder = temporaryFolder(t)
  const archive = pythonArchive(folder, options)
  const server = await serve(t, models ?? [archive], {
    python: pythonWorkers,
    allowHandlers: true,
    allowLocalPaths: true,
    // Where the stub of torch is found.
    workerEnvironment: ['PYTHONPATH'],
    ...settings,
  })
  assert.deepEqual(await failedModels(server), [])
  return { server, folder, archive }
}

/** A request for one deed of the handler. */
function ask(server: TestServer, wish: string, init: RequestInit = {}): Promise<Response> {
  const headers = { 'x-do': wish, ...(init.headers as Record<string, string> | undefined) }
  return server.fetch('/predictions/m', { method: 'POST', ...init, headers })
}

async function modelPid(server: TestServer): Promise<number> {
  return ((await json(await ask(server, 'pid'))) as { pid: number }).pid
}

/** Processes of the workers that are ready. */
async function workerPids(server: TestServer): Promise<number[]> {
  const { workers } = (await json(await server.manage('/models/m'))) as {
    workers: { status: string; pid: number }[]
  }
  return workers.filter(({ status }) => status === 'READY').map(({ pid }) => pid)
}

/** The process above that of a model, where that is not the server itself. */
function parentOf(server: TestServer, pid: number): number | undefined {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
  const parent = Number(fields[1])
  return parent === server.pid ? undefined : parent
}
