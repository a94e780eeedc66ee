/**
 * Models of every datatype, served over HTTP by real workers: the tests' own, and those of
 * ../shared.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { checkExample, nest } from '../helpers/example-checks.ts'
import type { SendParts } from '../helpers/example-checks.ts'
import { checkForms, checkMutations } from '../helpers/infer-properties.ts'
import type { InferAnswer, InferRequest, Send } from '../helpers/infer.ts'
import { failedModels, modelNames, workersOf } from '../helpers/observe.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { ownExamples } from '../helpers/own-models.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import { assertSame } from '../helpers/same.ts'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedPath, testShared } from '../helpers/shared.ts'

const OCTETS = 'application/octet-stream'
const seed = testSeed()
/** What onnxruntime says of operator versions it has no code for. */
const REFUSED_BY_RUNTIME =
  /^Failed to start workers: Could not find an implementation for \w+\(\d+\) node/

function numbersOf({ datatype, bytes }: { datatype: string; bytes: Buffer }): number[] {
  const copy = new Uint8Array(bytes).buffer
  switch (datatype) {
    case 'FP32':
      return [...new Float32Array(copy)]
    case 'FP64':
      return [...new Float64Array(copy)]
    case 'INT64':
      return [...new BigInt64Array(copy)].map(Number)
    default:
      throw new Error(`no test data of type ${datatype} was expected`)
  }
}

const ROUTES: Readonly<Record<InferRequest['route'], (model: string) => string>> = {
  predictions: (model) => `/predictions/${model}`,
  v1: (model) => `/v1/models/${model}:predict`,
  v2: (model) => `/v2/models/${model}/infer`,
}

/** Sends over connections that are kept, and with exactly the headers that are asked for. */
function httpSend(t: TestContext, url: string): Send {
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const { host, hostname, port } = new URL(url)
  return async (model, { route, contentType, headers, body }): Promise<InferAnswer> => {
    const own = contentType === '' ? headers : [...headers, ['Content-Type', contentType] as const]
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const lines = [
        ...own,
        ['Host', host] as const,
        ['Content-Length', String(body.length)] as const,
      ].flat()
      const sent = request(
        { agent, hostname, port, method: 'POST', path: ROUTES[route](model), headers: lines },
        resolve,
      )
      sent.on('error', reject).end(body)
    })
    const seen = Object.entries(answer.headers).map(
      ([name, value]) => [name, String(value)] as const,
    )
    return { status: answer.statusCode ?? 0, headers: new Map(seen), body: await buffer(answer) }
  }
}

async function predict(
  server: TestServer,
  name: string,
  body: NonNullable<RequestInit['body']>,
  contentType: string,
  headers: Readonly<Record<string, string>> = { accept: 'application/json' },
): Promise<Response> {
  return server.fetch(`/predictions/${name}`, {
    method: 'POST',
    body,
    headers: { ...headers, ...(contentType === '' ? {} : { 'content-type': contentType }) },
  })
}

test(
  'each model that onnxruntime loads predicts its example exactly, in JSON, raw bytes and multipart',
  { timeout: 180_000 },
  async (t) => {
    const examples = ownExamples()
    const server = await serve(
      t,
      examples.map(([name]) => modelPath(name)),
      { threads: 1, accessLog: false },
    )
    assert.deepEqual(await failedModels(server), [])
    const send: SendParts = async (name, parts, headers) => {
      const [whole] = parts
      const form = new FormData()
      for (const { name: part, value, contentType } of parts)
        form.set(part, new Blob([value], { type: contentType }), `${part}.json`)
      const answer =
        whole?.name === 'body'
          ? await predict(server, name, whole.value, whole.contentType, headers)
          : await predict(server, name, form, '', headers)
      return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }
    }
    for (const [name, example] of examples)
      await t.test(name, () => checkExample(send, name, example))

    await t.test(`random requests (ONNXD_TEST_SEED=${seed})`, () => checkRandomRequests(t, server))
  },
)

/**
 * A tensor gives the same bytes in all forms, damaged requests get a 4xx, and no worker is lost.
 */
async function checkRandomRequests(t: TestContext, server: TestServer): Promise<void> {
  const send = httpSend(t, server.inferenceUrl)
  await checkForms(send, randomNumbers(seed), 3)
  const statuses = await checkMutations(send, randomNumbers(seed + 1), 300)
  assert.ok(statuses.has(200) && statuses.has(400), [...statuses].join())
  await checkForms(send, randomNumbers(seed + 2), 1)
  const models = ownExamples().map(([name]) => name)
  const workers = await Promise.all(models.map((model) => workersOf(server, model)))
  assert.deepEqual(new Set(workers.flat().map(({ restarts }) => restarts)), new Set([0]))
}

type Image = readonly [file: string, shape: readonly number[]]

/** One input of numbers is answered alike in JSON, as raw bytes and as multipart. */
async function assertAlike(t: TestContext, images: readonly Image[]): Promise<void> {
  const server = await serve(
    t,
    images.map(([file]) => file),
  )
  assert.deepEqual(await failedModels(server), [])
  for (const [file, shape] of images) {
    const name = path.basename(file, '.onnx')
    const values = Float32Array.from(
      { length: shape.reduce<number>((a, b) => a * b, 1) },
      (_, index) => (index % 7) / 8,
    )
    const bytes = Buffer.from(values.buffer)
    const raw = await predict(server, name, bytes, OCTETS)
    assert.equal(raw.status, 200, await raw.clone().text())
    const expected = await json(raw)
    const bare = await predict(
      server,
      name,
      JSON.stringify(nest([...values], shape)),
      'application/json',
    )
    assertSame(await json(bare), expected)
    const form = new FormData()
    form.set('data', new Blob([bytes], { type: OCTETS }), 'data.bin')
    assertSame(await json(await predict(server, name, form, '')), expected)
    const binary = await predict(server, name, bytes, OCTETS, { accept: OCTETS })
    const flat = Object.values(expected as Record<string, unknown[]>)[0]?.flat(9)
    assert.deepEqual(
      [...new Float32Array(await binary.arrayBuffer())].map((v) => v.toPrecision(6)),
      flat?.map((v) => Number(v).toPrecision(6)),
    )
  }
}

test('models for images give the same response to JSON, raw bytes and multipart', {}, (t) =>
  assertAlike(t, [[modelPath('mnist.onnx'), [1, 1, 28, 28]]]),
)

testShared('mnist, squeezenet and resnet do too', { timeout: 120_000 }, (t) =>
  assertAlike(t, [
    [sharedPath('models/mnist.onnx'), [1, 1, 28, 28]],
    [sharedPath('models/light_squeezenet.onnx'), [1, 3, 224, 224]],
    [sharedPath('models/light_resnet50.onnx'), [1, 3, 224, 224]],
  ]),
)

test('a model with an unsupported tensor type is refused with its reason and leaves nothing', async (t) => {
  const server = await serve(t, [modelPath('identity_bf16'), modelPath('identity_fp32')])
  const failed = await failedModels(server)
  assert.deepEqual(
    failed.map(({ modelUrl }) => path.basename(modelUrl)),
    ['identity_bf16'],
  )
  assert.match(failed[0]?.reason ?? '', /Failed to start workers: .*\b16\b/)
  assert.deepEqual(await modelNames(server), ['identity_fp32'])
})

testShared(
  'the ONNX conformance models are served and match their expected outputs',
  {},
  async (t) => {
    const { readTensorProto } = await import('../helpers/tensor-proto.ts')
    const root = sharedPath('onnx-conformance')
    const names = readdirSync(root).filter((name) =>
      existsSync(path.join(root, name, 'model.onnx')),
    )
    assert.ok(names.length >= 79)
    // The tests of the worker check all of them; each costs a process here.
    const sample = names.filter((_, index) => index % 8 === 0)
    const server = await serve(t, [], { allowLocalPaths: true })
    let served = 0
    const refused: string[] = []
    const queue = sample[Symbol.iterator]()
    const serveNext = async (): Promise<void> => {
      for (const name of queue) {
        const registered = await server.manage(
          `/models?url=${encodeURIComponent(path.join(root, name, 'model.onnx'))}&model_name=${name}`,
          { method: 'POST' },
        )
        if (registered.status !== 200) {
          const reason = (await json(registered)) as { type: string; message: string }
          assert.equal(reason.type, 'InvalidModelException', name)
          assert.match(reason.message, REFUSED_BY_RUNTIME, name)
          refused.push(name)
          continue
        }
        const description = (await json(await server.manage(`/models/${name}`))) as {
          metadata: { inputs: { name: string }[]; outputs: { name: string }[] }
        }
        const data = path.join(root, name, 'test_data_set_0')
        const inputs = description.metadata.inputs.map(({ name: input }, index) => ({
          name: input,
          ...readTensorProto(readFileSync(path.join(data, `input_${index}.pb`))),
        }))
        const body = JSON.stringify({
          inputs: inputs.map(({ name: input, ...tensor }) => ({
            name: input,
            datatype: tensor.datatype,
            shape: tensor.shape,
            data: numbersOf(tensor),
          })),
        })
        const answer = await predict(server, name, body, 'application/json')
        assert.equal(answer.status, 200, `${name}: ${await answer.clone().text()}`)
        const { outputs } = (await json(answer)) as {
          outputs: { name: string; shape: number[]; data: number[] }[]
        }
        outputs.forEach((output, index) => {
          const expected = readTensorProto(readFileSync(path.join(data, `output_${index}.pb`)))
          const values = numbersOf(expected)
          assert.deepEqual(output.shape, [...expected.shape], name)
          assert.equal(output.data.length, values.length, name)
          values.forEach((value, at) => {
            const got = output.data[at] ?? Number.NaN
            assert.ok(
              Math.abs(got - value) <= 1e-5 + 1e-3 * Math.abs(value),
              `${name} output ${index}[${at}]: ${got}, expected ${value}`,
            )
          })
        })
        served += 1
        assert.equal((await server.manage(`/models/${name}`, { method: 'DELETE' })).status, 200)
      }
    }
    await Promise.all([serveNext(), serveNext()])
    t.diagnostic(
      `${served} served and equal; refused by onnxruntime for an operator version it does not have: ${refused.toSorted().join(', ')}`,
    )
    assert.equal(served + refused.length, sample.length)
    assert.ok(served >= 6, `only ${served} were served`)
  },
)
