/** Inference over gRPC, through the client of gRPC's own project. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { status } from '@grpc/grpc-js'
import { GrpcTestClient } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { queuedRequests, workerPids } from '../helpers/observe.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { iris } from '../helpers/server-process.ts'
import { until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const FLOWER = Buffer.from(new Float32Array([5.1, 3.5, 1.4, 0.2]).buffer)
async function echoServer(t: TestContext): Promise<[TestServer, GrpcTestClient]> {
  const server = await sharedServer([iris, modelPath('identity_fp32'), modelPath('simple')], {
    grpcPort: 0,
    maxBodyBytes: 4 * 1024 * 1024,
    batchSize: 4,
    priorityLevels: 3,
    queueSize: 200,
  })
  return [server, new GrpcTestClient(t, server.grpcAddress)]
}

function flower(fields: Message = {}): Message {
  const inputs = [{ name: 'features', datatype: 'FP32', shape: [1, 4] }]
  return { model_name: 'iris', inputs, raw_input_contents: [FLOWER], ...fields }
}

test('a response has the names, the id and all outputs as raw bytes', async (t) => {
  const [, client] = await echoServer(t)
  const answer = await client.ask('ModelInfer', flower({ id: 'one', model_version: '1.0' }))
  assert.equal(answer['model_name'], 'iris')
  assert.equal(answer['model_version'], '1.0')
  assert.equal(answer['id'], 'one')
  const outputs = answer['outputs'] as Message[]
  assert.deepEqual(
    outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    [
      { name: 'label', datatype: 'INT64', shape: ['1'] },
      { name: 'probabilities', datatype: 'FP32', shape: ['1', '3'] },
    ],
  )
  const [label, scores] = answer['raw_output_contents'] as Buffer[]
  assert.equal(label?.readBigInt64LE(), 0n)
  assert.equal(scores?.length, 12)
})

test('requested outputs, their order and classification are those of REST', async (t) => {
  const [, client] = await echoServer(t)
  const outputs = [
    { name: 'probabilities', parameters: { classification: { int64_param: 2 } } },
    { name: 'label' },
  ]
  const answer = await client.ask('ModelInfer', flower({ outputs }))
  const [classes, label] = answer['raw_output_contents'] as Buffer[]
  assert.match(classes?.toString('latin1') ?? '', /^.{4}0\.99\d{4}:0.*:1/s)
  assert.equal(label?.length, 8)
  const unknown = await client.fail('ModelInfer', flower({ outputs: [{ name: 'nothing' }] }))
  assert.equal(unknown.code, status.INVALID_ARGUMENT)
  assert.match(unknown.details, /Unknown output "nothing"/)
})

test('errors have the code and the text that say what is wrong', async (t) => {
  const [, client] = await echoServer(t)
  const input = { name: 'features', datatype: 'FP32', shape: [1, 4] }
  const cases: [Message, number, RegExp][] = [
    [{ model_name: 'none' }, status.NOT_FOUND, /^Request for unknown model: 'none' is not found$/],
    [{ model_version: '7' }, status.NOT_FOUND, /'iris' version 7 is not found/],
    [{ raw_input_contents: [FLOWER.subarray(1)] }, status.INVALID_ARGUMENT, /16 bytes, got 15/],
    [
      { raw_input_contents: [FLOWER, FLOWER] },
      status.INVALID_ARGUMENT,
      /has 2 entries, .* 1 input/,
    ],
    [{ raw_input_contents: [] }, status.INVALID_ARGUMENT, /requires 4 elements, got 0/],
    [{ inputs: [], raw_input_contents: [] }, status.INVALID_ARGUMENT, /Missing input "features"/],
    [{ inputs: [{ ...input, name: 'x' }] }, status.INVALID_ARGUMENT, /Unknown input "x"/],
    [{ inputs: [{ ...input, datatype: 'FP64' }] }, status.INVALID_ARGUMENT, /got datatype "FP64"/],
    [{ inputs: [{ ...input, shape: [-1, 4] }] }, status.INVALID_ARGUMENT, /0 or more, not -1/],
    [{ inputs: [{ ...input, shape: [4] }] }, status.INVALID_ARGUMENT, /got shape \[4\]/],
    [
      { inputs: [{ ...input, contents: { fp32_contents: [1, 2, 3, 4] } }] },
      status.INVALID_ARGUMENT,
      /has "contents", but the request also has "raw_input_contents"/,
    ],
    [
      { raw_input_contents: [], inputs: [{ ...input, contents: { int_contents: [1, 2, 3, 4] } }] },
      status.INVALID_ARGUMENT,
      /must be in "fp32_contents"/,
    ],
    [
      { inputs: [{ ...input, parameters: { shared_memory_region: { string_param: 'x' } } }] },
      status.INVALID_ARGUMENT,
      /Shared memory is not supported/,
    ],
    [
      { parameters: { priority: { int64_param: 9 } } },
      status.INVALID_ARGUMENT,
      /must be from 1 .* to 3/,
    ],
    [
      { parameters: { timeout: { string_param: 'soon' } } },
      status.INVALID_ARGUMENT,
      /parameter timeout must be an integer/,
    ],
  ]
  for (const [fields, code, details] of cases) {
    const error = await client.fail('ModelInfer', flower(fields))
    assert.equal(error.code, code, error.details)
    assert.match(error.details, details)
  }
  await client.ask('ModelInfer', flower())
})

test('unknown methods are UNIMPLEMENTED; shared memory says why', async (t) => {
  const [server, client] = await echoServer(t)
  const path = '/inference.GRPCInferenceService/SystemSharedMemoryStatus'
  const error = await client.raw(path)
  assert.equal(error.code, status.UNIMPLEMENTED)
  assert.match(error.details, /has no shared memory/)
  assert.match((await client.raw('/a.B/C')).details, /"a.B\/C" does not exist/)
  await server.logged((line) => line['route'] === 'unknown' && line['grpc'] === 'UNIMPLEMENTED')
})

test('a message above the body limit is RESOURCE_EXHAUSTED with the figures', async (t) => {
  const [, client] = await echoServer(t)
  const error = await client.fail(
    'ModelInfer',
    flower({ raw_input_contents: [Buffer.alloc(2 ** 23)] }),
  )
  assert.equal(error.code, status.RESOURCE_EXHAUSTED)
  assert.match(error.details, /has 838\d{4} bytes; the limit is 4194304 bytes \(maxBodyBytes\)/)
  const fits = { datatype: 'FP32', name: 'INPUT0', shape: [1000, 1000] }
  const large = Buffer.alloc(4_000_000, 1)
  const answer = await client.ask('ModelInfer', {
    model_name: 'identity_fp32',
    inputs: [fits],
    raw_input_contents: [large],
  })
  assert.ok((answer['raw_output_contents'] as Buffer[])[0]?.equals(large))
})

test('compressed messages are decompressed, and bombs are refused', async (t) => {
  const [server] = await echoServer(t)
  for (const algorithm of [1, 2]) {
    const client = new GrpcTestClient(t, server.grpcAddress, {
      'grpc.default_compression_algorithm': algorithm,
    })
    const answer = await client.ask('ModelInfer', flower({ id: `c${algorithm}` }))
    assert.equal(answer['id'], `c${algorithm}`)
    const bomb = await client.fail(
      'ModelInfer',
      flower({ raw_input_contents: [Buffer.alloc(2 ** 23)] }),
    )
    assert.equal(bomb.code, status.RESOURCE_EXHAUSTED)
    assert.match(bomb.details, /decompressed request message is larger; the limit is 4194304/)
  }
})

test('a stream answers each request, errors too, and ends after the last one', async (t) => {
  const [server, client] = await echoServer(t)
  const stream = client.stream()
  const answers: Message[] = []
  stream.on('data', (answer: Message) => answers.push(answer))
  const ended = new Promise((resolve) => stream.once('status', resolve))
  const count = 300
  for (let index = 0; index < count; index++) stream.write(flower({ id: String(index) }))
  stream.write(flower({ id: 'wrong', model_name: 'none' }))
  stream.end()
  assert.equal(((await ended) as { code: number }).code, status.OK)
  const ids = answers.map(({ infer_response: response }) => (response as Message)['id'])
  const expected = [...Array.from({ length: count }, (_, index) => String(index)), 'wrong']
  assert.deepEqual(ids.toSorted(), expected.toSorted())
  const failed = answers.filter(({ error_message: message }) => message !== '')
  assert.equal(failed.length, 1)
  assert.match(String(failed[0]?.['error_message']), /unknown model: 'none'/)
  const line = await server.logged(({ messageId }) => messageId === 'wrong')
  assert.equal(line['grpc'], 'NOT_FOUND')
})

test('a cancelled call leaves the queue', async (t) => {
  const [server, client] = await echoServer(t)
  const pids = await workerPids(server, 'simple')
  const signal = (name: string): void => pids.forEach((pid) => process.kill(pid, name))
  signal('SIGSTOP')
  t.after(() => signal('SIGCONT'))
  const tensor = { datatype: 'INT32', shape: [1, 16] }
  const inputs = ['INPUT0', 'INPUT1'].map((name) => ({ name, ...tensor }))
  const raw = [Buffer.alloc(64), Buffer.alloc(64)]
  const request = { model_name: 'simple', inputs, raw_input_contents: raw }
  const results: number[] = []
  const starts = Array.from({ length: 20 }, () =>
    client.start('ModelInfer', request, ({ error }) => results.push(error?.code ?? 0)),
  )
  await until(async () => (await queuedRequests(server, 'simple')) > 0)
  for (const cancel of starts) cancel()
  await until(async () => (await queuedRequests(server, 'simple')) === 0)
  assert.deepEqual(
    results,
    starts.map(() => status.CANCELLED),
  )
  await server.logged((line) => line['grpc'] === 'CANCELLED' && line['status'] === 499)
  const late = await client.fail('ModelInfer', request, { deadline: Date.now() + 100 })
  assert.equal(late.code, status.DEADLINE_EXCEEDED)
  signal('SIGCONT')
  await client.ask('ModelInfer', request)
})

test('the access log and the metrics have the calls', async (t) => {
  const [server, client] = await echoServer(t)
  const headers = {
    'x-request-id': 'call-7',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  }
  await client.ask('ModelInfer', flower(), { headers })
  const line = await server.logged(({ requestId }) => requestId === 'call-7')
  assert.equal(line['route'], '/inference.GRPCInferenceService/ModelInfer')
  assert.equal(line['status'], 200)
  assert.equal(line['grpc'], 'OK')
  assert.equal(line['model'], 'iris')
  assert.equal(line['ip'], '127.0.0.1')
  assert.equal(line['traceId'], '0af7651916cd43dd8448eb211c80319c')
  assert.equal(typeof line['queueMs'], 'number')
  const metrics = await (await server.manage('/metrics')).text()
  assert.match(metrics, /onnxd_http_responses_total\{listener="grpc",status_class="2xx"\} [1-9]/)
})
