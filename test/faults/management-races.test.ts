/** Block R: requests that change models and meet, and the limits of their parameters. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import path from 'node:path'
import { after, test } from 'node:test'
import { httpProcesses, workersFor } from '../helpers/http-processes.ts'
import { modelNames, workerPids } from '../helpers/observe.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { randomNumbers } from '../helpers/random.ts'
import { assertSame } from '../helpers/same.ts'
import {
  FLOWER,
  assertAllAnswered,
  iris,
  processTree,
  processesNaming,
  residentBytes,
  startLoad,
  startProcess,
} from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { childrenOf, json, listing, temporaryFolder, until } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'
import { assertError, block, isFull, size } from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'
import { listen } from './origins.ts'

const MIB = 2 ** 20
const model = readFileSync(path.resolve('examples/iris/model.onnx'))
const half = model.length >> 1

const cleanups: (() => unknown)[] = []
const file = { after: (run: () => unknown) => cleanups.push(run) }
const state = temporaryFolder(file)
/** Sends the first half of a model at once; the rest is for the row to send. */
const responses: ServerResponse[] = []
const origin = await listen(
  file,
  createServer((_request, response) => {
    response.writeHead(200, { 'content-length': model.length })
    response.write(model.subarray(0, half))
    responses.push(response)
  }),
)
const row = block({
  settings: { stateDir: state, allowedOrigins: [origin.url], allowPrivateAddresses: true },
})
// After the block has closed its server.
after(() => cleanups.toReversed().forEach((run) => run()))

const stored = (): string[] =>
  existsSync(path.join(state, 'models')) ? readdirSync(path.join(state, 'models')) : []

/** Puts a file into the store for the time of a row. */
async function withFile(
  server: Laboratory,
  name: string,
  data: Buffer,
  run: () => Promise<void>,
): Promise<void> {
  const location = path.join(server.store, name)
  writeFileSync(location, data)
  try {
    await run()
  } finally {
    rmSync(location)
  }
}

row(
  'R01',
  'of many registrations of one name at once, one wins',
  async (server) => {
    const count = size(16, 100)
    for (const query of [`url=${iris}&model_name=one`, `url=one.onnx&initial_workers=2`]) {
      await withFile(server, 'one.onnx', addModel(1), async () => {
        const answers = await Promise.all(
          Array.from({ length: count }, () => server.call('POST', `/models?${query}`)),
        )
        const refused = answers.filter(({ status }) => status !== 200)
        assert.equal(refused.length, count - 1)
        for (const answer of refused) assertError(answer, 409)
        assert.deepEqual(await modelNames(server), ['one', 'reference'])
        const workers = await workerPids(server, 'one')
        assert.equal(workers.length, workersFor(query.includes('initial_workers=2') ? 2 : 1))
        const known = [...workers, ...(await workerPids(server, 'reference'))]
        await until(() => childrenOf(server.pid).toSorted().join() === known.toSorted().join())
        await server.unregister('one')
      })
    }
  },
  { timeout: 600_000 },
)

/** Done, begun, or refused because another client was first. */
const STORM_STATUSES = new Set([200, 202, 210, 404, 409, 503])
const STORM: readonly (readonly [method: string, route: string])[] = [
  ['POST', `/models?url=${iris}&model_name=stormy`],
  ['POST', `/models?url=${iris}&model_name=stormy&initial_workers=0`],
  ['POST', `/models?url=${iris}&model_name=stormy&initial_workers=2&synchronous=false`],
  ['DELETE', '/models/stormy'],
  ['PUT', '/models/stormy?min_worker=2&synchronous=true'],
  ['PUT', '/models/stormy?min_worker=1'],
  ['PUT', '/models/stormy?min_worker=0&synchronous=true&timeout=1'],
]

async function workersOrNone(server: ServerProcess, name: string): Promise<number[]> {
  const { status, text } = await server.call('GET', `/models/${name}`)
  if (status === 404) return []
  assert.equal(status, 200, text)
  return (JSON.parse(text) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
}

test(
  'R02 a storm of changes to one model breaks neither it nor its neighbour',
  { timeout: 3_000_000 },
  async (t) => {
    const clients = size(4, 32)
    const operations = size(6, 100)
    const folder = temporaryFolder(t)
    const start = (): Promise<ServerProcess> =>
      startProcess(t, folder, [
        '--allow-local-paths',
        '--state-dir',
        path.join(folder, 'state'),
        `iris=${iris}`,
      ])
    // The server names the folder of its state.
    const workerProcesses = ({ pid }: ServerProcess): number[] =>
      processesNaming(folder).filter((other) => other !== pid)
    const server = await start()
    const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 2)
    const random = randomNumbers(5)
    const counts = new Map<number, number>()
    const problems: string[] = []
    const runClient = async (): Promise<void> => {
      for (let operation = 0; operation < operations; operation += 1) {
        const [method, route] = STORM[random.integer(0, STORM.length - 1)] ?? ['', '']
        const { status, text } = await server.call(method, route)
        counts.set(status, (counts.get(status) ?? 0) + 1)
        if (!STORM_STATUSES.has(status)) problems.push(`${method} ${route}: ${status} ${text}`)
      }
    }
    await Promise.all(Array.from({ length: clients }, runClient))
    t.diagnostic(`answers ${JSON.stringify(Object.fromEntries(counts))}`)
    assert.deepEqual(problems, [])

    // What was answered with 202 comes to its end; then every process is one that a model knows.
    await until(async () => {
      const known = [
        ...(await workersOrNone(server, 'iris')),
        ...(await workersOrNone(server, 'stormy')),
      ].toSorted()
      return JSON.stringify(known) === JSON.stringify(workerProcesses(server).toSorted())
    }, 30_000)
    await server.call('DELETE', '/models/stormy')
    const registered = await server.call('POST', `/models?url=${iris}&model_name=stormy`)
    assert.equal(registered.status, 200, registered.text)
    await load.stop()
    assertAllAnswered(load)
    await until(() => workerProcesses(server).length === 2 * httpProcesses)
    await server.close()
    assert.deepEqual(processesNaming(folder), [])
    assert.deepEqual(listing(server.temporary), [])

    const next = await start()
    const asked = await fetch(`${next.inferenceUrl}/predictions/stormy`, FLOWER)
    assert.equal(asked.status, 200, await asked.text())
    assert.equal((await next.call('DELETE', '/models/stormy')).status, 200)
    await until(() => workerProcesses(next).length === httpProcesses)
    await next.close()
  },
)

/** Numbers that no count of anything is. */
const NO_COUNT = [
  '-1',
  '1000000000',
  '1e3',
  'x',
  '1.5',
  '0x10',
  '2147483648',
  '-2147483649',
  '18446744073709551616',
  'NaN',
  'Infinity',
  '1,2',
  '٣',
  '+1',
  'true',
  '9'.repeat(5000),
]
const REGISTRATION: Readonly<Record<string, readonly string[]>> = {
  initial_workers: NO_COUNT,
  batch_size: [...NO_COUNT, '0', '65537'],
  max_batch_delay: [...NO_COUNT.filter((text) => !['1.5'].includes(text)), '60001'],
  response_timeout: [...NO_COUNT, '0', '1000000000000', '1e12', '86401'],
  startup_timeout: [...NO_COUNT, '0', '1000000000000', '1e12', '86401'],
  priority_levels: [...NO_COUNT, '0'],
  default_priority_level: NO_COUNT,
}
const SCALING: Readonly<Record<string, readonly string[]>> = {
  min_worker: NO_COUNT,
  max_worker: NO_COUNT,
  number_gpu: NO_COUNT,
  timeout: [...NO_COUNT.filter((text) => text !== '-1'), '-2', '1000000000000', '1e12', '86401'],
}
const REMOVAL: Readonly<Record<string, readonly string[]>> = { timeout: SCALING.timeout ?? [] }

/** Sends parameters in the query, as JSON and, to routes that take one, as a form. */
async function everyWay(
  server: Laboratory,
  method: string,
  route: string,
  parameters: Record<string, string>,
): Promise<Answer[]> {
  const query = new URLSearchParams(parameters).toString()
  const answers = [await server.call(method, `${route}?${query}`)]
  if (method === 'DELETE') return answers
  for (const [type, body] of [
    ['application/json', JSON.stringify(parameters)],
    ['application/x-www-form-urlencoded', query],
  ] as const) {
    const init = { method, body, headers: { 'content-type': type } }
    const { status, headers, text } = await server
      .manage(route, init)
      .then(async (response) => ({ ...statusOf(response), text: await response.text() }))
    answers.push({ status, headers, text })
  }
  return answers
}
const statusOf = ({ status, headers }: Response): Omit<Answer, 'text'> => ({ status, headers })

row(
  'R03',
  'counts and times beyond their limits are refused and change nothing',
  async (server, t) => {
    const limits = path.join(server.store, 'limits.onnx')
    writeFileSync(limits, addModel(1))
    t.after(() => rmSync(limits, { force: true }))
    await server.register('limits', 'limits.onnx')
    const before = await workerPids(server, 'limits')
    const located = { url: iris, model_name: 'more' }
    const refuse = async (
      method: string,
      route: string,
      table: Readonly<Record<string, readonly string[]>>,
      others: Record<string, string> = {},
    ): Promise<void> => {
      for (const [name, values] of Object.entries(table)) {
        for (const value of isFull ? values : values.slice(0, 2)) {
          for (const answer of await everyWay(server, method, route, {
            ...others,
            [name]: value,
          })) {
            const shown = `${method} ${name}=${value.slice(0, 30)}: ${answer.text.slice(0, 300)}`
            assert.equal(answer.status, 400, shown)
            assertError({ ...answer, text: answer.text.replaceAll(iris, '') }, 400)
            assert.match(answer.text, new RegExp(name), shown)
          }
        }
      }
    }
    await refuse('POST', '/models', REGISTRATION, located)
    await refuse('PUT', '/models/limits', SCALING)
    await refuse('DELETE', '/models/limits', REMOVAL)
    for (const pair of [
      { min_worker: '3', max_worker: '2' },
      { min_worker: '1', max_worker: '0' },
      { max_worker: '0' },
    ]) {
      for (const answer of await everyWay(server, 'PUT', '/models/limits', pair)) {
        assertError(answer, 400)
        assert.deepEqual(JSON.parse(answer.text), {
          code: 400,
          type: 'BadRequestException',
          message: 'max_worker cannot be less than min_worker.',
        })
      }
    }
    // Triton's configuration has counts too.
    for (const config of [
      '{"max_batch_size":-1}',
      '{"max_batch_size":1e12}',
      '{"instance_group":[{"count":-1}]}',
      '{"instance_group":[{"count":1000000000}]}',
      '{"instance_group":[{"count":257}]}',
      '{"instance_group":[{"count":200},{"count":"57"}]}',
      '{"instance_group":[{"count":"1e3"}]}',
      '{"instance_group":{"count":1}}',
      '{"dynamic_batching":{"max_queue_delay_microseconds":-1}}',
    ]) {
      const init = { method: 'POST', body: JSON.stringify({ parameters: { config } }) }
      const headers = { 'content-type': 'application/json' }
      const response = await server.manage('/v2/repository/models/limits/load', {
        ...init,
        headers,
      })
      assert.equal(response.status, 400, `${config}: ${await response.text()}`)
    }
    assert.deepEqual(await modelNames(server), ['limits', 'reference'])
    assert.deepEqual(await workerPids(server, 'limits'), before)
    // Zero is a number of workers.
    const none = await server.call('PUT', '/models/limits?min_worker=0&synchronous=true')
    assert.equal(none.status, 200)
    assert.deepEqual(await workerPids(server, 'limits'), [])
    assert.equal((await server.call('DELETE', '/models/limits?timeout=0')).status, 200)
    rmSync(limits)
  },
  { timeout: 600_000 },
)

async function transferBytes(server: Laboratory): Promise<number | undefined> {
  const list = (await json(await server.manage('/models'))) as { transfers?: { bytes: number }[] }
  return list.transfers?.[0]?.bytes
}

row(
  'R04',
  'a model that is unregistered while it comes, is unpacked or loads is gone',
  async (server) => {
    // While it is downloaded.
    for (const [name, query] of [
      ['chosen', `url=${origin.url}/slow.mar&model_name=chosen`],
      ['chosen', `url=${origin.url}/slow.mar&model_name=chosen&synchronous=false`],
      ['slow', `url=${origin.url}/slow.onnx`],
    ] as const) {
      const registering = server.call('POST', `/models?${query}`)
      await until(async () => (await transferBytes(server)) === half)
      const response = responses.at(-1)
      assert.ok(response)
      const left = once(response, 'close')
      assertError(await server.call('DELETE', '/models/other'), 404)
      const removed = await server.call('DELETE', `/models/${name}`)
      assert.equal(removed.status, 200)
      assert.deepEqual(JSON.parse(removed.text), { status: `Model "${name}" unregistered` })
      await left
      const refused = await registering
      assert.deepEqual(JSON.parse(refused.text), {
        code: 409,
        type: 'ConflictStatusException',
        message: 'The model was unregistered while it was being downloaded.',
      })
      assert.equal(refused.status, 409)
      assert.deepEqual(await modelNames(server), ['reference'])
      assert.deepEqual(stored(), [])
      assertError(await server.call('DELETE', `/models/${name}`), 404)
    }
    // What an archive is called, unless the caller says it, is not known before it is there.
    const nameless = server.call('POST', `/models?url=${origin.url}/slow.mar`)
    await until(async () => (await transferBytes(server)) === half)
    assertError(await server.call('DELETE', '/models/slow'), 404)
    responses.at(-1)?.destroy()
    assertError(await nameless, 400)

    // While it is unpacked: then it has no name yet, unless it was downloaded.
    const packed = zipOf([
      { name: 'model.onnx', data: addModel(1) },
      { name: 'filler.bin', data: randomBytes(size(8, 48) * MIB), isStored: true },
    ])
    await withFile(server, 'packed.zip', packed, async () => {
      for (let round = 0; round < size(3, 20); round += 1) {
        const registering = server.call('POST', '/models?url=packed.zip&initial_workers=0')
        await until(() =>
          listing(server.temporary).some((one) => /\/model-[0-9a-f-]{36}/.test(one)),
        )
        const removed = await server.call('DELETE', '/models/packed')
        const registered = await registering
        if (removed.status === 200) assert.ok([200, 409].includes(registered.status))
        else {
          assertError(removed, 404)
          assert.equal(registered.status, 200, registered.text)
          await server.unregister('packed')
        }
        assert.deepEqual(await modelNames(server), ['reference'])
        await until(() => !listing(server.temporary).some((one) => /\/model-/.test(one)))
      }
    })

    // While it is loaded.
    const slow = path.join(server.store, 'slow')
    mkdirSync(slow)
    writeFileSync(path.join(slow, 'model.json'), '{"handler":"service.mjs:handle"}')
    const service =
      'await new Promise((resolve) => setTimeout(resolve, 600_000))\nexport function handle() {}\n'
    writeFileSync(path.join(slow, 'service.mjs'), service)
    const others = processTree(server.pid).length
    for (let round = 0; round < size(1, 20); round += 1) {
      const registering = server.call('POST', '/models?url=slow')
      await until(() => processTree(server.pid).length > others)
      const readiness = async (): Promise<number> =>
        (await server.fetch('/v2/models/slow/ready')).status
      // The other HTTP processes know of a load that is not answered yet a moment later.
      if (httpProcesses > 1) await until(async () => (await readiness()) === 503)
      assert.equal(await readiness(), 503)
      assert.equal((await server.call('DELETE', '/models/slow')).status, 200)
      const refused = await registering
      assertError(refused, 409)
      assert.match(refused.text, /was unregistered while it was being loaded/)
      assert.equal(processTree(server.pid).length, others)
      assertError(await server.call('DELETE', '/models/slow'), 404)
      assert.equal((await server.call('POST', '/models?url=slow&synchronous=false')).status, 202)
      assert.equal((await server.call('DELETE', '/models/slow')).status, 200)
    }
    rmSync(slow, { recursive: true })
    const list = await json(await server.manage('/models'))
    const url = path.resolve('examples/iris')
    assert.deepEqual(list, { models: [{ modelName: 'reference', modelUrl: url }] })
  },
  { timeout: 600_000 },
)

interface Page {
  readonly models: { readonly modelName: string }[]
  readonly nextPageToken?: string
}

row(
  'R05',
  'a thousand models without workers are listed in pages and cost little',
  async (server, t) => {
    const count = size(40, 1000)
    const names = Array.from({ length: count }, (_, index) => `m${String(index).padStart(4, '0')}`)
    const before = residentBytes([server.pid])
    const startedAt = performance.now()
    await withFile(server, 'add.onnx', addModel(1), async () => {
      const left = names.values()
      const register = async (): Promise<void> => {
        for (const name of left) await server.register(name, 'add.onnx', { initial_workers: '0' })
      }
      await Promise.all([1, 2, 3, 4].map(register))
      const seconds = (performance.now() - startedAt) / 1000
      const pages = async (limit: string): Promise<string[]> => {
        const found: string[] = []
        let token: string | undefined = '0'
        while (token !== undefined) {
          const { status, text } = await server.call(
            'GET',
            `/models?limit=${limit}&next_page_token=${token}`,
          )
          assert.equal(status, 200, text)
          const page = JSON.parse(text) as Page
          assert.ok(page.models.length <= 100)
          found.push(...page.models.map(({ modelName }) => modelName))
          token = page.nextPageToken
        }
        return found
      }
      for (const limit of ['7', '100', '101', '2147483647', ''])
        assertSame(await pages(limit), [...names, 'reference'])
      const first = JSON.parse((await server.call('GET', '/models?limit=7')).text) as Page
      assert.equal(first.nextPageToken, '7')
      const none = JSON.parse((await server.call('GET', '/models?limit=0')).text) as Page
      assert.deepEqual(none.models, [])
      for (const token of [String(count + 1), '2147483647']) {
        const last = await server.call('GET', `/models?next_page_token=${token}`)
        assert.deepEqual(JSON.parse(last.text), { models: [] })
      }
      for (const text of ['-1', '2147483648', 'x', '1e3', '1.5', '18446744073709551616', '-0x1']) {
        for (const name of ['limit', 'next_page_token'])
          assertError(await server.call('GET', `/models?${name}=${text}`), 400)
      }
      assert.equal((await server.fetch('/v2/models/m0000')).status, 200)
      const growth = residentBytes([server.pid]) - before
      t.diagnostic(
        `${count} models in ${seconds.toFixed(1)} s, ${(growth / MIB).toFixed(1)} MiB more`,
      )
      assert.ok(growth < 64 * MIB + count * 50_000, `${growth} bytes`)
      const unwanted = names.values()
      const remove = async (): Promise<void> => {
        for (const name of unwanted) await server.unregister(name)
      }
      await Promise.all([1, 2, 3, 4].map(remove))
    })
    const metrics = await (await server.manage('/metrics')).text()
    assert.doesNotMatch(metrics, /"m\d{4}"/)
    assert.deepEqual(await modelNames(server), ['reference'])
  },
  { timeout: 600_000 },
)
