/** What a server with several HTTP processes counts and records: the requests of all of them. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ShownRollout } from '../../src/models/rollout/shown-rollout.ts'
import type { ShadowReport } from '../../src/models/shadow/report.ts'
import { Recording } from '../../src/recording/recording.ts'
import { runOnnxd } from '../helpers/command-line.ts'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { addingModel } from '../helpers/numbered-models.ts'
import { floats, modelBytes, node } from '../helpers/onnx-builder.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

/** Requests on as many connections: by chance, one in 2^39 times a process gets none. */
const MANY = 40

/** Version N of the model adds N; version 3 has another input. */
function addingVersions(t: TestContext): string {
  const folder = path.join(temporaryFolder(t), 'add')
  const broken = modelBytes({
    inputs: [{ name: 'z', type: 'FP32', shape: ['n'] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['n'] }],
    nodes: [node('Add', ['z', 'number'], ['y'])],
    constants: { number: floats([1], [3]) },
  })
  for (const [version, bytes] of [
    ['1', addingModel(1)],
    ['2', addingModel(2)],
    ['3', broken],
  ] as const) {
    mkdirSync(path.join(folder, version), { recursive: true })
    writeFileSync(path.join(folder, version, 'model.onnx'), bytes)
  }
  return folder
}

/** Sends a request on a connection of its own, and returns its version and status. */
async function send(server: TestServer, user: string, headers = {}): Promise<string> {
  const response = await server.fetch('/predictions/add', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      connection: 'close',
      'x-user': user,
      ...headers,
    },
    body: '{"x":[0]}',
  })
  await response.text()
  return `${response.headers.get('onnxd-version')} ${response.status}`
}

/** Sends requests of users with different names, a few at a time. */
async function sendMany(server: TestServer, count = MANY, headers = {}): Promise<string[]> {
  const versions: string[] = []
  let next = 0
  const run = async (): Promise<void> => {
    while (next < count) versions.push(await send(server, `user-${next++}`, headers))
  }
  await Promise.all(Array.from({ length: 8 }, run))
  return versions
}

async function change(server: TestServer, method: string, route: string, body?: unknown) {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await server.manage(`/models/add${route}`, init)
  const answer = await json(response)
  assert.equal(response.status, 200, JSON.stringify(answer))
  return answer
}

const rolloutOf = async (server: TestServer): Promise<ShownRollout> =>
  (await change(server, 'GET', '/rollout')) as ShownRollout

/** Process id of the further HTTP process. */
function furtherProcess(server: TestServer): number {
  const line = server.logLines.findLast(({ msg }) => msg === 'an HTTP process listens')
  return Number(line?.['pid'])
}

test('rollouts, shadows, gRPC and recordings see the requests of all processes', async (t) => {
  const file = path.join(temporaryFolder(t), 'requests.rec')
  const settings = { httpProcesses: 2, grpcPort: 0, record: file, workers: 2 }
  const server = await serve(t, [addingVersions(t)], settings)
  const byUser = { sticky: { header: 'x-user' } }
  await change(server, 'PUT', '/1/set-default')
  await change(server, 'PUT', '/routing', { weights: { 1: 1 }, ...byUser })

  await t.test('each user has one version in all processes', async () => {
    const weights = { weights: { 1: 1, 2: 1 }, ...byUser }
    await change(server, 'PUT', '/routing', weights)
    const versions = new Set<string>()
    for (const user of ['ann', 'bob', 'cem', 'dan', 'eve', 'fay']) {
      const same = await Promise.all(Array.from({ length: 12 }, () => send(server, user)))
      assert.equal(new Set(same).size, 1, `${user}: ${same.join(', ')}`)
      versions.add(same[0] ?? '')
    }
    assert.deepEqual([...versions].toSorted(), ['1 200', '2 200'])
    await change(server, 'PUT', '/routing', { weights: { 1: 1 }, ...byUser })
  })

  await t.test('a rollout counts and times the requests of all processes', async () => {
    const plan = { to: '2', steps: [50, 100], hold: 600, max_error_rate: 0.1, max_p99_ratio: 1000 }
    await change(server, 'POST', '/rollout', plan)
    const count = 600
    const sent = await sendMany(server, count)
    const counted = await until(async () => {
      const { next, present, p99_ms: p99 } = await rolloutOf(server)
      const isCounted = (next?.requests ?? 0) + (present?.requests ?? 0) >= count
      // The 99th percentile is known after 200 requests of the present version.
      return isCounted && p99 !== undefined && { next: next?.requests, present: present?.requests }
    })
    const served = (version: string): number =>
      sent.filter((one) => one === `${version} 200`).length
    assert.deepEqual(counted, { next: served('2'), present: served('1') })
    await change(server, 'DELETE', '/rollout')
  })

  await t.test('a bad version is rolled back in all processes', async () => {
    const plan = { to: '3', steps: [50, 100], hold: 0, max_error_rate: 0.1, max_p99_ratio: 0 }
    await change(server, 'POST', '/rollout', plan)
    const ended = await until(async () => {
      await sendMany(server)
      const rollout = await rolloutOf(server)
      return rollout.state !== 'running' && rollout
    })
    assert.equal(ended.state, 'rolled_back', JSON.stringify(ended))
    // The other processes follow a decision without a request a moment later.
    await until(async () => (await sendMany(server)).every((one) => one === '1 200'))
    assert.deepEqual(new Set(await sendMany(server)), new Set(['1 200']))
    const page = parseMetrics(await (await server.manage('/metrics')).text())
    const state = 'onnxd_rollout_state{model="add",state="rolled_back",version="3"}'
    assert.equal(page.get(state), 1)
  })

  await t.test('a shadow gets copies in all processes, also of one that was replaced', async () => {
    await change(server, 'PUT', '/shadow', { version: '2', keepInputs: true })
    const report = async (chosen: number): Promise<ShadowReport> =>
      until(async () => {
        const now = (await change(server, 'GET', '/shadow')) as ShadowReport
        return now.chosen >= chosen && now.running === 0 && now
      })
    await sendMany(server)
    const first = await report(MANY)
    const skipped = Object.values(first.skipped).reduce((sum, count) => sum + count, 0)
    assert.deepEqual([first.chosen, first.compared + skipped], [MANY, MANY])
    assert.deepEqual([first.agreed, first.failed, first.worst.length], [0, 0, 10])
    assert.equal(first.latencyMs.shadow.count, first.compared)
    assert.ok(first.worst.every(({ input }) => input !== undefined))
    const page = parseMetrics(await (await server.manage('/metrics')).text())
    const copies = 'onnxd_shadow_copies_total{model="add",outcome="disagreed",version="2"}'
    assert.equal(page.get(copies), first.compared)

    const pid = furtherProcess(server)
    process.kill(pid, 'SIGKILL')
    await until(() => !isAlive(pid) && furtherProcess(server) !== pid)
    await sendMany(server)
    const second = await report(2 * MANY)
    assert.equal(second.chosen, 2 * MANY)
    await change(server, 'DELETE', '/shadow')
    await sendMany(server)
  })

  await t.test('all processes take calls of gRPC', async () => {
    const values = Buffer.from(Float32Array.of(1).buffer)
    const request = {
      model_name: 'add',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1] }],
      raw_input_contents: [values],
    }
    const own = { 'grpc.use_local_subchannel_pool': 1 }
    await Promise.all(
      Array.from({ length: MANY }, async () => {
        const client = new GrpcTestClient(t, server.grpcAddress, own)
        const { raw_output_contents: outputs } = await client.ask('ModelInfer', request)
        const [output] = outputs as Uint8Array[]
        assert.deepEqual(Buffer.from(output ?? []), Buffer.from(Float32Array.of(2).buffer))
      }),
    )
    await server.logged(({ grpc, shard }) => grpc !== undefined && shard === 1)
    const page = parseMetrics(await (await server.manage('/metrics')).text())
    assert.equal(page.get('onnxd_http_responses_total{listener="grpc",status_class="2xx"}'), MANY)
  })

  await t.test('requests of all processes are recorded and replayed', async () => {
    await sendMany(server, MANY, { 'x-request-id': 'recorded' })
    await server.close()
    const recording = await Recording.open(file)
    const parts = new Set<number>()
    let found = 0
    for (const place of recording.places) {
      const record = await recording.read(place)
      if (record?.id !== 'recorded') continue
      found += 1
      parts.add(place.part)
    }
    await recording.close()
    assert.deepEqual([found, parts], [MANY, new Set([0, 1])])
    const against = path.join(temporaryFolder(t), 'same.onnx')
    writeFileSync(against, addingModel(1))
    const args = ['replay', file, '--against', against, '--limit', String(MANY), '--json']
    const replayed = await runOnnxd(args)
    const { requests, agreed } = JSON.parse(replayed.stdout) as Record<string, number>
    assert.deepEqual([requests, agreed], [MANY, MANY], replayed.stdout)
  })
})
