/** Metadata, health checks, reflection, the repository and the stop of the gRPC listener. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { status } from '@grpc/grpc-js'
import descriptors from 'protobufjs/ext/descriptor/index.js'
import type { IFileDescriptorProto } from 'protobufjs/ext/descriptor/index.js'
import { runOnnxd } from '../helpers/command-line.ts'
import { GrpcTestClient, INFERENCE } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { workerPids } from '../helpers/observe.ts'
import { receiveTraces } from '../helpers/otlp-receiver.ts'
import { iris } from '../helpers/server-process.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const HEALTH = { service: 'grpc.health.v1.Health', file: 'health' }
/** Changes come within half a second; a busy machine is slower. */
const WATCH_MS = 10_000
const FLOWER = Buffer.from(new Float32Array([5.1, 3.5, 1.4, 0.2]).buffer)
const REQUEST = {
  model_name: 'iris',
  inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4] }],
  raw_input_contents: [FLOWER],
}

async function irisServer(t: TestContext): Promise<[TestServer, GrpcTestClient]> {
  const server = await sharedServer([iris], { grpcPort: 0 })
  return [server, new GrpcTestClient(t, server.grpcAddress)]
}

test('metadata, configuration and statistics are those of REST', async (t) => {
  const [server, client] = await irisServer(t)
  await client.ask('ModelInfer', REQUEST)
  const rest = async (route: string): Promise<Message> =>
    (await json(await server.fetch(route))) as Message
  const about = await client.ask('ServerMetadata')
  assert.deepEqual(about, await rest('/v2'))
  const model = await client.ask('ModelMetadata', { name: 'iris' })
  const wanted = await rest('/v2/models/iris')
  assert.deepEqual(numeric(model), wanted)
  assert.deepEqual(
    numeric(await client.ask('ModelMetadata', { name: 'iris', version: '1.0' })),
    wanted,
  )

  const { config } = await client.ask('ModelConfig', { name: 'iris' })
  const { name, platform, backend, max_batch_size, input } = config as Message
  const expected = await rest('/v2/models/iris/config')
  assert.deepEqual(
    [name, platform, backend, max_batch_size],
    [expected['name'], expected['platform'], expected['backend'], expected['max_batch_size']],
  )
  const [features] = input as Message[]
  assert.equal(features?.['data_type'], 'TYPE_FP32')

  const [statistics] = (await client.ask('ModelStatistics', { name: 'iris' }))[
    'model_stats'
  ] as Message[]
  const stats = statistics?.['inference_stats'] as Message | undefined
  const success = stats?.['success'] as { count: string; ns: string } | undefined
  assert.ok(Number(success?.count) >= 1 && Number(success?.ns) > 0)
  const { model_stats: all } = await client.ask('ModelStatistics')
  assert.equal((all as Message[]).length, 1)
  for (const method of ['ModelMetadata', 'ModelConfig', 'ModelStatistics', 'ModelReady']) {
    const error = await client.fail(method, { name: 'none' })
    assert.equal(error.code, status.NOT_FOUND, method)
    assert.match(error.details, /^Request for unknown model: 'none'/)
  }
})

/** The numbers of shapes, which gRPC's client gives as texts. */
function numeric(model: Message): Message {
  const tensors = (list: unknown): unknown =>
    (list as { shape: string[] }[]).map((one) => ({ ...one, shape: one.shape.map(Number) }))
  return { ...model, inputs: tensors(model['inputs']), outputs: tensors(model['outputs']) }
}

test('server and models are live and ready', async (t) => {
  const [, client] = await irisServer(t)
  assert.deepEqual(await client.ask('ServerLive'), { live: true })
  assert.deepEqual(await client.ask('ServerReady'), { ready: true })
  assert.deepEqual(await client.ask('ModelReady', { name: 'iris' }), { ready: true })
  for (const service of ['', INFERENCE, 'iris'])
    assert.deepEqual(await client.ask('Check', { service }, HEALTH), { status: 'SERVING' })
  const unknown = await client.fail('Check', { service: 'none' }, HEALTH)
  assert.equal(unknown.code, status.NOT_FOUND)
})

test('reflection describes the services, in both versions', async (t) => {
  const [, client] = await irisServer(t)
  for (const version of ['v1', 'v1alpha']) {
    const stream = client.stream('ServerReflectionInfo', {
      service: `grpc.reflection.${version}.ServerReflection`,
      file: `reflection-${version}`,
    })
    const ask = async (request: Message): Promise<Message> => {
      stream.write(request)
      return (await once(stream, 'data'))[0] as Message
    }
    const { list_services_response: list, original_request: original } = await ask({
      list_services: '*',
      host: 'here',
    })
    assert.equal((original as Message)['list_services'], '*')
    const names = (list as { service: { name: string }[] }).service.map(({ name }) => name)
    assert.ok(names.includes(INFERENCE) && names.includes(HEALTH.service), names.join())
    const symbol = `${INFERENCE}.ModelInfer`
    const { file_descriptor_response: files } = await ask({ file_containing_symbol: symbol })
    const [bytes] = (files as { file_descriptor_proto: Buffer[] }).file_descriptor_proto
    const decoded = descriptors.FileDescriptorProto.decode(bytes ?? Buffer.alloc(0))
    const file: IFileDescriptorProto = descriptors.FileDescriptorProto.toObject(decoded)
    const infer = file.messageType?.find(({ name }) => name === 'ModelInferRequest')
    const raw = infer?.field?.find(({ name }) => name === 'raw_input_contents')
    assert.equal(raw?.number, 7)
    for (const request of [{ file_containing_symbol: 'a.B' }, { file_by_filename: 'x.proto' }]) {
      const { error_response: error } = await ask(request)
      assert.equal((error as Message)['error_code'], status.NOT_FOUND)
    }
    stream.end()
    await once(stream, 'end')
  }
})

test('the repository is closed without --expose-repository', async (t) => {
  const [, client] = await irisServer(t)
  for (const method of ['RepositoryIndex', 'RepositoryModelLoad', 'RepositoryModelUnload']) {
    const error = await client.fail(method, {})
    assert.equal(error.code, status.UNAVAILABLE)
    assert.match(error.details, /--expose-repository/)
  }
})

test('with --expose-repository clients load and unload models, and Watch sees it', async (t) => {
  const modelStore = temporaryFolder(t)
  cpSync(iris, path.join(modelStore, 'iris'), { recursive: true })
  const settings = { grpcPort: 0, modelStore, load: 'none', exposeRepository: true } as const
  const server = await serve(t, [], settings)
  const client = new GrpcTestClient(t, server.grpcAddress)
  const index = async (ready: boolean): Promise<unknown> =>
    (await client.ask('RepositoryIndex', { ready }))['models']
  const watch = client.watch('Watch', { service: 'iris' }, HEALTH)
  const states: unknown[] = []
  watch.on('error', () => {})
  watch.on('data', ({ status: state }: Message) => states.push(state))
  t.after(() => watch.cancel())
  assert.deepEqual(await index(false), [{ name: 'iris', version: '', state: '', reason: '' }])
  const config = { string_param: '{"max_batch_size": 4}' }
  await client.ask('RepositoryModelLoad', { model_name: 'iris', parameters: { config } })
  assert.deepEqual(await index(true), [
    { name: 'iris', version: '1.0', state: 'READY', reason: '' },
  ])
  await client.ask('ModelInfer', REQUEST)
  await until(() => states.at(-1) === 'SERVING', WATCH_MS)
  assert.equal(states[0], 'SERVICE_UNKNOWN')
  await client.ask('RepositoryModelUnload', { model_name: 'iris' })
  await until(() => states.at(-1) === 'SERVICE_UNKNOWN', WATCH_MS)
  assert.deepEqual(await index(true), [])
  const unknown = await client.fail('RepositoryModelLoad', { model_name: 'none' })
  assert.equal(unknown.code, status.NOT_FOUND)
  assert.match(unknown.details, /^failed to load 'none'/)
  const files = { 'file:1/model.onnx': { bytes_param: Buffer.from('x') } }
  const refused = await client.fail('RepositoryModelLoad', {
    model_name: 'iris',
    parameters: files,
  })
  assert.equal(refused.code, status.INVALID_ARGUMENT)
  assert.match(refused.details, /cannot contain model files/)
})

test('when the server stops, running calls finish and new ones are UNAVAILABLE', async (t) => {
  const server = await serve(t, [iris], { grpcPort: 0, drainTimeout: 20 })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const stream = client.stream()
  const ended = new Promise((resolve) => stream.once('status', resolve))
  const ids: unknown[] = []
  stream.on('error', () => {})
  stream.on('data', ({ infer_response: response }: Message) => {
    ids.push((response as Message)['id'])
  })
  stream.write({ ...REQUEST, id: 'first' })
  await until(() => ids.length === 1)
  const [pid = 0] = await workerPids(server, 'iris')
  process.kill(pid, 'SIGSTOP')
  const running = client.call('ModelInfer', REQUEST)
  stream.write({ ...REQUEST, id: 'second' })
  // It comes behind the others on the same connection.
  await client.ask('ServerLive')
  const closed = server.close()
  await server.logged((line) => line['msg'] === 'stopping')
  const other = new GrpcTestClient(t, server.grpcAddress)
  const refused = await other.fail('ServerLive', {})
  assert.equal(refused.code, status.UNAVAILABLE)
  process.kill(pid, 'SIGCONT')
  assert.equal((await running).error, undefined)
  const end = (await ended) as { code: number; details: string }
  assert.deepEqual(ids, ['first', 'second'])
  assert.equal(end.code, status.UNAVAILABLE)
  assert.match(end.details, /is stopping/)
  await closed
})

test('a call is part of the trace of its client', async (t) => {
  const collector = await receiveTraces(t)
  const environment = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '50',
  }
  const server = await serve(t, [iris], { grpcPort: 0 }, { environment })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, 'x-request-id': 'traced' }
  await client.ask('ModelInfer', REQUEST, { headers })
  await client.ask('ServerLive', {}, { headers: { 'x-request-id': 'health' } })
  const span = await collector.span(({ attributes }) => attributes['onnxd.request.id'] === 'traced')
  assert.equal(span.name, 'inference.GRPCInferenceService/ModelInfer')
  assert.deepEqual([span.traceId, span.parentSpanId], [traceId, 'b7ad6b7169203331'])
  assert.equal(span.attributes['rpc.system'], 'grpc')
  assert.equal(span.attributes['rpc.response.status_code'], 'OK')
  assert.equal(span.attributes['onnxd.model.name'], 'iris')
  const parts = collector.spans.filter((one) => one.parentSpanId === span.spanId)
  assert.deepEqual(parts.map(({ name }) => name).toSorted(), ['queue', 'run'])
  // Traces of metadata and health checks would hide those of predictions.
  assert.ok(!collector.spans.some(({ attributes }) => attributes['onnxd.request.id'] === 'health'))
})

test('a port in use is named with its flag, and nothing stays behind', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  const args = ['serve', '--port', '0', '--management-port', '0', '--grpc-port', String(port)]
  const { code, stderr } = await runOnnxd(args)
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port} .*--grpc-port`))
})
