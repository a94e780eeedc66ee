/** Versions that get copies of requests, with real workers. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ShadowReport } from '../../src/models/shadow/report.ts'
import { runOnnxd } from '../helpers/command-line.ts'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { inferRequest } from '../helpers/infer.ts'
import { addingModel } from '../helpers/numbered-models.ts'
import { allWorkerPids } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { TINY_MODELS, tinyTextModel } from '../helpers/text-models.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const SETTINGS = { allowHandlers: true, workers: 1, responseTimeout: 1 }

/** Doubles a number. Each version makes its own mistakes. */
const service = (mistake: string): string => `
export function handle(data) {
  if (data === undefined || data === null) return
  return data.map(({ body: { x } }) => {
    ${mistake}
    return { y: 2 * x, label: 'even' }
  })
}
`
const SERVICES: Readonly<Record<string, string>> = {
  '1': service(''),
  '2': service("if (x % 50 === 7) return { y: 2 * x + 1, label: 'odd' }"),
  '3': service('if (x % 10 === 3) process.exit(3)\n if (x % 50 === 8) for (;;);'),
  '4': service("if (x === 1) throw new Error('no ones')"),
  // Sends its response in chunks.
  '5': `
export const handle = (data) => data?.map(async function* ({ body: { x } }) {
  yield '{"y":'
  yield 2 * x + ',"label":"even"}'
})
`,
  // Asks another model.
  '6': `
export const handle = (data, context) => data && Promise.all(data.map(async ({ body: { x } }, index) => {
  const { y } = await context.server.predict('add', { x: [x] }, { index })
  return { y: y[0] + x, label: 'even' }
}))
`,
}

/** A model with these versions of the service. */
function doubling(t: TestContext, versions: readonly string[]): string {
  const model = path.join(temporaryFolder(t), 'double')
  for (const version of versions) {
    const folder = path.join(model, version)
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'service.mjs'), SERVICES[version] ?? '')
    writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  }
  return model
}

/** The versions 1 and 2 of a model, which are the same. */
function twice(t: TestContext, folder: string): string {
  const model = path.join(temporaryFolder(t), path.basename(folder))
  for (const version of ['1', '2']) cpSync(folder, path.join(model, version), { recursive: true })
  return model
}

async function setShadow(server: TestServer, model: string, shadow: unknown): Promise<Response> {
  const init = { method: 'PUT', headers: JSON_TYPE, body: JSON.stringify(shadow) }
  return server.manage(`/models/${model}/shadow`, init)
}

async function reportOf(server: TestServer, model: string): Promise<ShadowReport> {
  const response = await server.manage(`/models/${model}/shadow`)
  assert.equal(response.status, 200)
  return (await json(response)) as ShadowReport
}

/** The report when no copy runs and `count` requests were chosen. */
function settled(server: TestServer, model: string, count: number): Promise<ShadowReport> {
  return until(async () => {
    const report = await reportOf(server, model)
    return report.running === 0 && report.chosen >= count && report
  })
}

async function metricsOf(server: TestServer): Promise<ReturnType<typeof parseMetrics>> {
  return parseMetrics(await (await server.manage('/metrics')).text())
}

async function double(server: TestServer, version: string, x: number): Promise<number> {
  const init = { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ x }) }
  const response = await server.fetch(`/predictions/double/${version}`, init)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return (JSON.parse(text) as { y: number }).y
}

test('the same version agrees in every dialect: tensors, binary, gRPC, images, texts, tables', async (t) => {
  const digits = path.resolve('examples/digits')
  const classify = TINY_MODELS['classify']
  assert.ok(classify)
  const text = tinyTextModel(t, 'classify', { ...classify, file: 'model.onnx' })
  const folders = [iris, digits, text].map((folder) => twice(t, folder))
  const server = await serve(t, folders, { ...SETTINGS, grpcPort: 0 })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const flower = Buffer.from(Float32Array.of(5.1, 3.5, 1.4, 0.2).buffer)
  const image = readFileSync(path.join(digits, 'samples', '7.png'))
  const input = { name: 'features', datatype: 'FP32', shape: [1, 4] }
  const size = { parameters: { binary_data_size: flower.length } }
  const binary = inferRequest(
    { inputs: [{ ...input, ...size }], parameters: { binary_data_output: true } },
    flower,
  )
  const plain = { inputs: [{ ...input, data: [5.1, 3.5, 1.4, 0.2] }] }
  const post =
    (
      route: string,
      body: string | Uint8Array<ArrayBuffer>,
      headers: Record<string, string> = JSON_TYPE,
    ) =>
    async () => {
      const response = await server.fetch(route, { method: 'POST', body, headers })
      assert.equal(response.status, 200, `${route}: ${await response.text()}`)
    }
  const requests: readonly (readonly [model: string, send: () => Promise<unknown>])[] = [
    ['iris', post('/predictions/iris', FLOWER.body)],
    ['iris', post('/predictions/iris', FLOWER.body, { ...JSON_TYPE, accept: 'text/csv' })],
    ['iris', post('/v1/models/iris:predict', '{"instances":[[5.1,3.5,1.4,0.2]]}')],
    ['iris', post('/v2/models/iris/infer', JSON.stringify(plain))],
    ['iris', post('/v2/models/iris/infer', JSON.stringify(plain), { 'accept-encoding': 'gzip' })],
    [
      'iris',
      post(
        '/v2/models/iris/infer',
        new Uint8Array(binary.body),
        Object.fromEntries(binary.headers),
      ),
    ],
    [
      'iris',
      () =>
        client.ask('ModelInfer', {
          model_name: 'iris',
          inputs: [input],
          raw_input_contents: [flower],
        }),
    ],
    ['digits', post('/predictions/digits', new Uint8Array(image), { 'content-type': 'image/png' })],
    ['classify', post('/predictions/classify', '"a good dog"')],
  ]
  for (const model of ['iris', 'digits', 'classify']) {
    const set = await setShadow(server, model, { version: '1' })
    assert.equal(set.status, 200, await set.text())
  }
  const sent = new Map<string, number>()
  for (const [model, send] of requests) {
    await send()
    sent.set(model, (sent.get(model) ?? 0) + 1)
    await settled(server, model, sent.get(model) ?? 0)
  }
  for (const [model, count] of sent) {
    const { compared, agreed, failed, copied, worst, latencyMs } = await reportOf(server, model)
    assert.deepEqual([copied, compared, agreed, failed], [count, count, count, 0], model)
    assert.deepEqual(worst, [])
    assert.ok(latencyMs.shadow.p50 > 0 && latencyMs.reference.count === count)
  }
  // Responses with the version in them are decoded and compared.
  const { identical, outputs } = await reportOf(server, 'iris')
  assert.ok(identical < 7, `${identical}`)
  const kinds = Object.fromEntries(outputs.map(({ name, kind }) => [name, kind]))
  assert.deepEqual(kinds, { label: 'exact', probabilities: 'probabilities' })

  // Copies are no requests of clients.
  const metrics = await metricsOf(server)
  const requestsOf = (version: string): number | undefined =>
    metrics.get(`onnxd_requests_total{model="iris",status_class="2xx",version="${version}"}`)
  assert.deepEqual([requestsOf('1'), requestsOf('2')], [0, 7])
  const copies = (outcome: string): number | undefined =>
    metrics.get(`onnxd_shadow_copies_total{model="iris",outcome="${outcome}",version="1"}`)
  assert.deepEqual([copies('agreed'), copies('disagreed'), copies('failed')], [7, 0, 0])
})

test('a version that is wrong in 2 % of the responses is seen, and the worst requests are named', async (t) => {
  const server = await serve(t, [doubling(t, ['1', '2', '4'])], SETTINGS)
  const set = await setShadow(server, 'double', { version: '2', keepInputs: true })
  assert.deepEqual(await json(set), { version: '2', keepInputs: true })
  for (let x = 0; x < 100; x += 1) {
    assert.equal(await double(server, '1', x), 2 * x)
    await settled(server, 'double', x + 1)
  }
  // A request to the version itself is not copied.
  await double(server, '2', 1)
  const report = await reportOf(server, 'double')
  assert.deepEqual(
    [report.chosen, report.copied, report.compared, report.agreed, report.agreement],
    [100, 100, 100, 98, 0.98],
  )
  assert.equal(report.worst.length, 2)
  for (const { reason, sha256, requestId, input, version } of report.worst) {
    assert.match(reason ?? '', /^(y|label): /)
    assert.match(sha256, /^[0-9a-f]{64}$/)
    assert.match(requestId, /^[0-9a-f-]{36}$/)
    assert.equal(version, '1')
    const { x } = JSON.parse(Buffer.from(input?.[0]?.base64 ?? '', 'base64').toString()) as {
      x: number
    }
    assert.equal(x % 50, 7)
  }
  const label = report.outputs.find(({ name }) => name === 'label')
  assert.deepEqual([label?.compared, label?.agreed, label?.largest], [2, 0, 1])

  const environment = { ONNXD_URL: server.managementUrl }
  const shown = await runOnnxd(['shadow', 'double'], { environment })
  assert.equal(shown.code, 0, shown.stderr)
  assert.match(shown.stdout, /^double 2 gets copies of 100 % of the requests$/m)
  assert.match(shown.stdout, /^compared +100, of them 98 identical$/m)
  assert.match(shown.stdout, /^agreed +98 \(98 %\)$/m)
  assert.match(shown.stdout, /^label +exact +0 of 2 +1\.00 +░+$/m)

  // Another share keeps the counts, another version does not. Inputs are not kept any more.
  assert.equal((await setShadow(server, 'double', { version: '2', share: 0.5 })).status, 200)
  const kept = await reportOf(server, 'double')
  assert.deepEqual([kept.compared, kept.worst[0]?.input], [100, undefined])
  const moved = await runOnnxd(['shadow', 'double', '--to', '4', '--share', '.5'], { environment })
  assert.match(moved.stdout, /^double 4 gets copies of 50 %/m)
  for (let sent = 0; sent < 30; sent += 1) {
    await double(server, '1', 1)
    await settled(server, 'double', 0)
  }
  const half = await reportOf(server, 'double')
  // By chance this fails once in 500 million runs.
  assert.ok(half.chosen > 0 && half.chosen < 30, `${half.chosen}`)
  assert.equal(half.agreed, 0)
  assert.match(half.worst[0]?.reason ?? '', /the status is 503 instead of 200/)

  // A version that is removed is no shadow any more.
  const removed = await server.manage('/models/double/2', { method: 'DELETE' })
  assert.equal(removed.status, 200)
  assert.equal((await reportOf(server, 'double')).version, '4')
  assert.equal((await setShadow(server, 'double', { version: '1' })).status, 200)
  await double(server, '4', 5)
  assert.equal((await server.manage('/models/double/1', { method: 'DELETE' })).status, 200)
  const gone = await server.manage('/models/double/shadow')
  assert.equal(gone.status, 404)
  assert.match(await gone.text(), /Model double has no shadow/)
  assert.equal(await double(server, '4', 5), 10)
})

test('clients do not notice a shadow that crashes and hangs', async (t) => {
  const settings = { ...SETTINGS, batchSize: 4, maxBatchDelay: 2 }
  const server = await serve(t, [doubling(t, ['1', '3'])], settings)
  const send = (x: number): Promise<number> =>
    timeOf(async () => assert.equal(await double(server, '1', x), 2 * x))
  const before = await Promise.all(Array.from({ length: 20 }, (_, x) => send(x)))
  assert.equal((await setShadow(server, 'double', { version: '3' })).status, 200)
  const times: number[] = []
  // Four clients at a time, whose requests share batches; each copy fails. Others follow until the
  // failure is known.
  for (const [values, reason] of [
    [[3, 13, 23, 33], /exited with code 3/],
    [[8, 58, 108, 158], /did not respond within 1 s/],
  ] as const) {
    await until(async () => {
      times.push(...(await Promise.all(values.map(send))))
      const { worst } = await reportOf(server, 'double')
      return worst.some((one) => reason.test(one.reason ?? ''))
    })
  }
  const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0
  // A run that hangs takes one second.
  assert.ok(median < 100 + Math.max(...before), `${median} ms`)
  const report = await settled(server, 'double', 1)
  assert.ok(report.failed >= 2 && report.skipped.not_ready + report.skipped.busy > 0)
  assert.equal(report.compared, report.agreed)
  assert.equal(report.agreement, report.agreed / (report.agreed + report.failed))
  const metrics = await metricsOf(server)
  const all = (status: string): number | undefined =>
    metrics.get(`onnxd_requests_total{model="double",status_class="${status}",version="1"}`)
  assert.deepEqual([all('4xx'), all('5xx'), all('2xx')], [0, 0, times.length + before.length])
  const off = await server.manage('/models/double/shadow', { method: 'DELETE' })
  assert.deepEqual(await json(off), { status: 'Shadow of model "double" removed' })
  assert.equal((await server.manage('/models/double/shadow', { method: 'DELETE' })).status, 404)

  // The report has the running copies of process 0 only.
  if (httpProcesses > 1) return
  // The version is removed while it runs a copy that hangs.
  await server.manage('/models/double/1/set-default', { method: 'PUT' })
  assert.equal((await setShadow(server, 'double', { version: '3' })).status, 200)
  await until(async () => {
    await send(8)
    return (await reportOf(server, 'double')).running === 1
  })
  assert.equal((await server.manage('/models/double/3', { method: 'DELETE' })).status, 200)
  assert.equal((await server.manage('/models/double/shadow')).status, 404)
  await send(9)
})

test('streamed responses and calls to other models', async (t) => {
  const add = path.join(temporaryFolder(t), 'add')
  mkdirSync(add)
  writeFileSync(path.join(add, 'model.onnx'), addingModel(0))
  const server = await serve(t, [doubling(t, ['1', '5', '6']), add], SETTINGS)
  for (const version of ['5', '6']) {
    assert.equal((await setShadow(server, 'double', { version })).status, 200)
    await double(server, '1', 21)
    const { compared, agreed, worst } = await settled(server, 'double', 1)
    assert.deepEqual([compared, agreed], [1, 1], worst[0]?.reason)
  }
  // A streamed response cannot be compared: it has left when its end comes.
  await double(server, '5', 21)
  const { skipped } = await settled(server, 'double', 2)
  assert.equal(skipped.unsupported, 1)
})

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

test('a shadow survives the death of the server; mistakes change nothing; clients cannot ask for comparisons', async (t) => {
  const folder = doubling(t, ['1', '2'])
  const settings = { ...SETTINGS, stateDir: temporaryFolder(t) }
  const server = await serve(t, [folder], settings)
  await server.manage('/models/double/routing', {
    method: 'PUT',
    headers: JSON_TYPE,
    body: '{"labels":{"canary":"2"}}',
  })
  const shadow = { version: 'canary', share: 0.25, tolerance: { relative: 0.01 } }
  const set = await setShadow(server, 'double', shadow)
  assert.deepEqual(await json(set), { ...shadow, version: '2' })
  for (const [body, status, message] of [
    [{}, 400, /version: Expected required property/],
    [{ version: '7' }, 404, /Model version: 7 does not exist for model: double/],
    [{ version: '2', share: 0 }, 400, /share: Expected/],
    [{ version: '2', share: 1.5 }, 400, /share: Expected/],
    [{ version: '2', shares: 1 }, 400, /unknown key; the closest one is share/],
    [{ version: '2', tolerance: { iou: 2 } }, 400, /tolerance\.iou/],
  ] as const) {
    const refused = await setShadow(server, 'double', body)
    assert.equal(refused.status, status)
    assert.match(await refused.text(), message)
  }
  assert.equal((await setShadow(server, 'none', { version: '2' })).status, 404)
  assert.equal((await server.manage('/models/none/shadow')).status, 404)
  const headers = { ...JSON_TYPE, 'Onnxd-Compare': '{"status":200,"contentType":"","headers":[]}' }
  const asked = await server.fetch('/predictions/double/2', {
    method: 'POST',
    headers,
    body: '{"x":1}',
  })
  assert.deepEqual(await json(asked), { y: 2, label: 'even' })
  assert.equal((await reportOf(server, 'double')).share, 0.25)
  const workers = await allWorkerPids(server)
  assert.equal(workers.length, 2 * httpProcesses)
  await server.kill()

  const again = await serve(t, [folder], settings)
  const { version, share, compared } = await reportOf(again, 'double')
  assert.deepEqual([version, share, compared], ['2', 0.25, 0])
  assert.equal((await again.manage('/models/double/shadow', { method: 'DELETE' })).status, 200)
  await again.close()
  const last = await serve(t, [folder], settings)
  assert.equal((await last.manage('/models/double/shadow')).status, 404)
})
