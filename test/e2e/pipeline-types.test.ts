/** What the server says of the inputs and outputs of pipelines, and which dialects they take. */
import assert from 'node:assert/strict'
import { cpSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { npyFile } from '../helpers/npy.ts'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { Dimension } from '../helpers/onnx-builder.ts'
import { ownModels } from '../helpers/own-models.ts'
import { writeEnsemble, writePipeline } from '../helpers/pipelines.ts'
import { json, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const FOLDER = temporaryFolder(ofFile)

/** `a` and `b` become their sum and difference. */
const SUM = {
  model: 'simple',
  inputs: { INPUT0: 'a', INPUT1: 'b' },
  outputs: { OUTPUT0: 'sum', OUTPUT1: 'difference' },
}
const echo = (model: string, from: string, to: string) => {
  return { model, inputs: { x: from }, outputs: { y: to } }
}
const echoModel = (name: string, type: 'FP32' | 'INT64', shape: readonly Dimension[]) =>
  writeModelFolder(FOLDER, name, identityGraph({ type, shape }))

const DECLARED = {
  inputs: [
    { name: 'a', type: 'INT32', dims: [16] },
    { name: 'b', type: 'INT32', dims: [16] },
  ],
  outputs: [{ name: 'sum', type: 'INT32', dims: [16] }],
}
const DIGITS = path.resolve('examples/digits')
const SAMPLE = readFileSync(path.join(DIGITS, 'samples', '7.png'))

/** The models load when they are needed, so the server starts at once. */
const fill = (): void => {
  copy(path.join(ownModels(), 'simple'))
  copy(path.resolve('examples/digits'))
  echoModel('rows', 'FP32', ['N', 4])
  echoModel('narrow', 'FP32', ['N', 'W'])
  echoModel('whole', 'INT64', ['N', 4])
  echoModel('scalar', 'FP32', [])
  writePipeline(FOLDER, 'sums', [SUM])
  writePipeline(FOLDER, 'chain', [echo('narrow', 'in', 'mid'), echo('rows', 'mid', 'out')])
  // Both models read `in`, so it has the narrower type.
  writePipeline(FOLDER, 'fork', [echo('narrow', 'in', 'left'), echo('rows', 'in', 'right')])
  writePipeline(FOLDER, 'misfit', [echo('rows', 'in', 'mid'), echo('whole', 'mid', 'out')])
  writePipeline(FOLDER, 'lost', [echo('rows', 'in', 'mid'), echo('nobody', 'mid', 'out')])
  writePipeline(FOLDER, 'outer', [{ model: 'chain', inputs: { in: 'x' }, outputs: { out: 'y' } }])
  writePipeline(FOLDER, 'single', [echo('scalar', 'in', 'out')])
  writeEnsemble(FOLDER, 'declared', [SUM], DECLARED)
  const outputs = [{ name: 'sum', type: 'FP32', dims: [16] }]
  writeEnsemble(FOLDER, 'liar', [SUM], { ...DECLARED, outputs })
  writeEnsemble(FOLDER, 'later', [{ ...SUM, model: 'nobody' }], DECLARED)
  writePipeline(FOLDER, 'photos', [
    { model: 'digits', inputs: { image: 'photo' }, outputs: { probabilities: 'scores' } },
  ])
}
const copy = (folder: string): void =>
  cpSync(folder, path.join(FOLDER, path.basename(folder)), { recursive: true })
fill()
const server = (): Promise<TestServer> =>
  sharedServer([], {
    grpcPort: 0,
    allowLocalPaths: true,
    modelStore: FOLDER,
    load: 'on-demand',
  })

interface Described {
  readonly name: string
  readonly versions?: readonly string[]
  readonly platform: string
  readonly inputs: readonly { name: string; datatype: string; shape: number[] }[]
  readonly outputs: readonly { name: string; datatype: string; shape: number[] }[]
}

async function describe(it: TestServer, name: string): Promise<Described> {
  const answer = await it.fetch(`/v2/models/${name}`)
  const body = await json(answer)
  assert.equal(answer.status, 200, JSON.stringify(body))
  return body as Described
}

async function post(
  it: TestServer,
  route: string,
  body: NonNullable<RequestInit['body']> | object,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): Promise<{ readonly status: number; readonly body: unknown; readonly text: string }> {
  const isRaw = body instanceof Uint8Array
  const sent = isRaw ? new Uint8Array(body) : JSON.stringify(body)
  const answer = await it.fetch(route, { method: 'POST', body: sent, headers })
  const text = await answer.text()
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  return { status: answer.status, body: value, text }
}

const errorOf = (body: unknown): string => {
  const { message, error } = Object(body) as { message?: unknown; error?: unknown }
  return String(message ?? error)
}

test('a pipeline has the types that its models give it', async () => {
  const it = await server()
  const int32 = (name: string) => ({ name, datatype: 'INT32', shape: [-1, 16] })
  assert.deepEqual(await describe(it, 'sums'), {
    name: 'sums',
    versions: ['1.0'],
    platform: 'ensemble',
    inputs: [int32('a'), int32('b')],
    outputs: [int32('sum'), int32('difference')],
  })
  const fp32 = (name: string, ...shape: number[]) => ({ name, datatype: 'FP32', shape })
  const chain = await describe(it, 'chain')
  assert.deepEqual(chain.inputs, [fp32('in', -1, -1)])
  assert.deepEqual(chain.outputs, [fp32('out', -1, 4)])
  assert.deepEqual((await describe(it, 'fork')).inputs, [fp32('in', -1, 4)])
  assert.deepEqual((await describe(it, 'outer')).inputs, [fp32('x', -1, -1)])
  const declared = await describe(it, 'declared')
  assert.deepEqual(declared.versions, ['1'])
  assert.deepEqual(declared.outputs, [int32('sum')])
  // An ensemble declares its types, so they are known before its models are.
  assert.deepEqual((await describe(it, 'later')).inputs, [int32('a'), int32('b')])
})

test('what is not known is not invented', async () => {
  const it = await server()
  const lost = await it.fetch('/v2/models/lost')
  assert.equal(lost.status, 404)
  assert.match(errorOf(await json(lost)), /^Step 2 \(model nobody\): /)
  const shown = async (name: string) => {
    const version = (await json(await it.manage(`/models/${name}`))) as {
      metadata: { inputs?: unknown; pipeline: Record<string, unknown> }
    }
    return version.metadata
  }
  // Another HTTP process may have loaded the steps, and this one learns it a moment later.
  const { inputs, pipeline } = await until(async () => {
    const found = await shown('lost')
    return !JSON.stringify(found).includes('not loaded') && found
  })
  assert.equal(inputs, undefined)
  assert.deepEqual(
    [pipeline['inputs'], pipeline['outputs'], (pipeline['steps'] as unknown[])[0]],
    [['in'], ['out'], { model: 'rows', inputs: { x: 'in' }, outputs: { y: 'mid' } }],
  )
  assert.match(JSON.stringify(pipeline['steps']), /Step 2 \(model nobody\): Model not found/)
  const text =
    'Step 2 (model whole) needs "mid" as INT64 [-1,4], but it is FP32 [-1,4] by Step 1 (model rows).'
  const answer = await post(it, '/predictions/misfit', { in: [[1, 2, 3, 4]] })
  assert.deepEqual([answer.status, errorOf(answer.body)], [500, text])
  await until(async () => (await shown('misfit')).pipeline['problem'] === text)
  assert.equal((await it.fetch('/v2/models/misfit')).status, 500)
  await post(it, '/predictions/liar', {})
  const problem = await until(async () => (await shown('liar')).pipeline['problem'])
  assert.match(String(problem), /config\.pbtxt declares "sum" as FP32 \[-1,16\], but/)
})

test('types follow the versions of the models of the steps', async () => {
  const it = await server()
  const add = async (name: string, folder: string, version = ''): Promise<void> => {
    const url = encodeURIComponent(folder)
    const route = `/models?model_name=${name}&initial_workers=1&url=${url}${version}`
    const answer = await it.manage(route, { method: 'POST' })
    assert.equal(answer.status, 200, await answer.text())
  }
  await add('part', path.join(FOLDER, 'rows'), '&model_version=1')
  await add('whole_part', writePipeline(FOLDER, 'of_part', [echo('part', 'in', 'out')]))
  const typeOf = async () => (await describe(it, 'whole_part')).inputs[0]
  assert.deepEqual(await typeOf(), { name: 'in', datatype: 'FP32', shape: [-1, 4] })
  const etag = async () =>
    (await it.fetch('/v2/models/whole_part/openapi.json')).headers.get('etag')
  const before = await etag()
  await add('part', path.join(FOLDER, 'whole'), '&model_version=2')
  assert.deepEqual((await typeOf())?.datatype, 'FP32')
  const put = await it.manage('/models/part/2/set-default', { method: 'PUT' })
  assert.equal(put.status, 200)
  assert.deepEqual((await typeOf())?.datatype, 'INT64')
  assert.notEqual(await etag(), before)
  const large = { in: [[1, 2, 3, 4]] }
  assert.deepEqual((await post(it, '/predictions/whole_part', large)).body, {
    out: [[1, 2, 3, 4]],
  })
  const wrong = await post(it, '/predictions/whole_part', { in: [[1.5, 2, 3, 4]] })
  assert.equal(wrong.status, 400, wrong.text)
  for (const name of ['whole_part', 'part'])
    assert.equal((await it.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
})

test('documents, the definition of gRPC and the configuration of Triton have the types', async (t) => {
  const it = await server()
  const document = JSON.stringify(await json(await it.fetch('/v2/models/chain/openapi.json')))
  assert.match(document, /\/v2\/models\/chain\/infer/)
  assert.match(document, /"in"/)
  const proto = await (await it.fetch('/v2/models/sums/proto')).text()
  assert.match(proto, /^\/\/ input {2}a: INT32 \[-1, 16\]$/m)
  const config = (await json(await it.fetch('/v2/models/declared/config'))) as Record<
    string,
    unknown
  >
  assert.deepEqual(
    [config['platform'], config['backend'], config['max_batch_size'], config['input']],
    [
      'ensemble',
      '',
      8,
      ['a', 'b'].map((name) => ({
        name,
        data_type: 'TYPE_INT32',
        dims: [16],
        is_shape_tensor: false,
        format: 'FORMAT_NONE',
        allow_ragged_batch: false,
        optional: false,
      })),
    ],
  )
  assert.deepEqual(config['ensemble_scheduling'], {
    step: [
      {
        model_name: 'simple',
        model_version: -1,
        input_map: SUM.inputs,
        output_map: SUM.outputs,
      },
    ],
  })
  const client = new GrpcTestClient(t, it.grpcAddress)
  const { platform, inputs } = await client.ask('ModelMetadata', { name: 'sums' })
  assert.deepEqual(
    [platform, (inputs as { name: string; shape: string[] }[])[0]],
    ['ensemble', { name: 'a', datatype: 'INT32', shape: ['-1', '16'] }],
  )
})

test('/v1 answers with one prediction for each instance', async () => {
  const it = await server()
  const rows = [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
  ]
  assert.deepEqual((await post(it, '/v1/models/chain:predict', { instances: rows })).body, {
    predictions: rows,
  })
  const keyed = await post(it, '/v1/models/sums:predict', {
    inputs: { a: [rows.flat()], b: [rows.flat()] },
  })
  assert.equal(keyed.status, 400, keyed.text)
  const a = Array.from({ length: 16 }, (_, index) => index)
  assert.deepEqual((await post(it, '/v1/models/sums:predict', { instances: [{ a, b: a }] })).body, {
    predictions: [{ sum: a.map((one) => 2 * one), difference: a.map(() => 0) }],
  })
  assert.deepEqual((await post(it, '/v1/models/single:predict', { instances: 3 })).status, 400)
})

test('a pipeline with one input takes arrays of NumPy and raw bytes', async () => {
  const it = await server()
  const data = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)
  const npy = npyFile({ descr: '<f4', shape: [1, 4], data })
  const array = await post(it, '/predictions/chain', npy, { 'content-type': 'application/x-npy' })
  assert.deepEqual([array.status, array.body], [200, { out: [[1, 2, 3, 4]] }], array.text)
  const raw = await it.fetch('/predictions/chain', {
    method: 'POST',
    body: data,
    headers: {
      'content-type': 'application/octet-stream',
      'tensor-shape': '1,4',
      accept: 'application/octet-stream',
    },
  })
  assert.equal(raw.status, 200)
  assert.equal(raw.headers.get('tensor-shape'), '1,4')
  assert.deepEqual(Buffer.from(await raw.arrayBuffer()), data)
  const csv = await post(it, '/predictions/fork', Buffer.from('1,2,3,4\n'), {
    'content-type': 'text/csv',
  })
  assert.equal(csv.status, 200, csv.text)
})

test('an input that only image models read may be an image file', async () => {
  const it = await server()
  const wanted = (await json(
    await it.fetch('/v2/models/digits/infer', {
      method: 'POST',
      body: new Uint8Array(SAMPLE),
      headers: { 'content-type': 'image/png' },
    }),
  )) as { outputs: { data: number[] }[] }
  const scores = wanted.outputs[0]?.data
  assert.equal(scores?.length, 10)
  const { inputs } = await describe(it, 'photos')
  assert.deepEqual(inputs[0]?.datatype, 'FP32')
  const raw = await post(it, '/predictions/photos', SAMPLE, { 'content-type': 'image/png' })
  assert.deepEqual([raw.status, raw.body], [200, { scores: [scores] }], raw.text)
  const base64 = SAMPLE.toString('base64')
  const named = await post(it, '/predictions/photos', { photo: [base64] })
  assert.deepEqual([named.status, named.body], [200, { scores: [scores] }], named.text)
  const tensor = { name: 'photo', datatype: 'BYTES', shape: [1], data: [base64] }
  const v2 = await post(it, '/v2/models/photos/infer', { inputs: [tensor] })
  assert.deepEqual([v2.status, (v2.body as typeof wanted).outputs[0]?.data], [200, scores], v2.text)
  const wrong = await post(it, '/predictions/photos', { photo: [[1]] })
  assert.equal(wrong.status, 400)
  assert.match(errorOf(wrong.body), /FP32/)
})

test(
  'statistics count the samples of a request',
  { skip: oneProcess('its statistics') },
  async () => {
    const it = await server()
    const data = Array.from({ length: 12 }, (_, index) => index)
    const tensor = { name: 'in', datatype: 'FP32', shape: [3, 4], data }
    const before = await samplesOf(it, 'fork')
    assert.equal((await post(it, '/v2/models/fork/infer', { inputs: [tensor] })).status, 200)
    assert.equal(await samplesOf(it, 'fork'), before + 3)
  },
)

async function samplesOf(it: TestServer, name: string): Promise<number> {
  const { model_stats: stats } = (await json(await it.fetch(`/v2/models/${name}/stats`))) as {
    model_stats: { inference_count: number }[]
  }
  return stats[0]?.inference_count ?? 0
}
