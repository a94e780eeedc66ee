/** The results of a pipeline are those of its steps, called by hand, bit by bit. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { DATATYPES } from '../../src/contract/datatypes.ts'
import { GrpcTestClient } from '../helpers/grpc.ts'
import { inferRequest, outputsOf } from '../helpers/infer.ts'
import type { AnsweredOutput } from '../helpers/infer.ts'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { writePipeline } from '../helpers/pipelines.ts'
import type { StepSource } from '../helpers/pipelines.ts'
import { randomGraph } from '../helpers/random-graphs.ts'
import { randomTensor } from '../helpers/random-tensor.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const SEED = testSeed()
const ofFile: Cleanup = { after: (run) => after(run as () => void) }

/** A tensor in the binary form of the protocol. */
interface Raw {
  readonly datatype: string
  readonly shape: readonly number[]
  readonly bytes: Buffer
}

/** A pipeline of random graphs, and the widths of its inputs. */
interface RandomPipeline {
  readonly name: string
  readonly steps: readonly StepSource[]
  readonly widths: ReadonlyMap<string, number>
}

/** Writes the models and the pipeline. */
function randomPipeline(random: RandomNumbers, folder: string, name: string): RandomPipeline {
  const steps: StepSource[] = []
  /** Tensors that a step may read, with their widths. */
  const known = new Map([['in0', random.integer(2, 5)]])
  const inputs = new Map(known)
  for (let index = 0; index < random.integer(2, 4); index++) {
    const places = [...known]
    const isNew = index > 0 && random.next() < 0.2
    const fresh: [string, number] = [`in${index}`, random.integer(2, 5)]
    if (isNew) inputs.set(...fresh)
    const [from, width] = isNew
      ? fresh
      : (places[random.integer(0, places.length - 1)] ?? ['in0', 2])
    const graph = randomGraph(random, random.next() < 0.5, width)
    const model = `${name}_${index}`
    writeModelFolder(folder, model, graph.model)
    const outputs = Object.fromEntries(graph.outputs.map((one) => [one, `${one}${index}`]))
    steps.push({ model, inputs: { x: from }, outputs })
    known.set(`y${index}`, graph.lastWidth)
  }
  const written = steps.flatMap(({ outputs }) => Object.values(outputs))
  writePipeline(folder, name, steps, { outputs: written })
  return { name, steps, widths: inputs }
}

/** Sends tensors in binary form and returns the outputs in binary form. */
async function inferBinary(
  it: TestServer,
  model: string,
  inputs: ReadonlyMap<string, Raw>,
): Promise<ReadonlyMap<string, Raw>> {
  const json = {
    parameters: { binary_data_output: true },
    inputs: [...inputs].map(([name, { datatype, shape, bytes }]) => {
      return { name, datatype, shape, parameters: { binary_data_size: bytes.length } }
    }),
  }
  const tail = Buffer.concat([...inputs.values()].map(({ bytes }) => bytes))
  const { headers, body } = inferRequest(json, tail)
  const answer = await it.fetch(`/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { ...Object.fromEntries(headers), 'accept-encoding': 'identity' },
    body: new Uint8Array(body),
  })
  const outputs = outputsOf({
    status: answer.status,
    headers: new Map(answer.headers),
    body: Buffer.from(await answer.arrayBuffer()),
  })
  return new Map(outputs.map((output) => [output.name, rawOf(output)]))
}

function rawOf({ datatype, shape, bytes = Buffer.alloc(0) }: AnsweredOutput): Raw {
  return { datatype, shape, bytes }
}

async function inferJson(
  it: TestServer,
  model: string,
  inputs: ReadonlyMap<string, Raw>,
): Promise<
  readonly { readonly name: string; readonly shape: number[]; readonly data: number[] }[]
> {
  const body = {
    inputs: [...inputs].map(([name, { datatype, shape, bytes }]) => {
      return { name, datatype, shape, data: [...floatsIn(bytes)] }
    }),
  }
  const answer = await it.fetch(`/v2/models/${model}/infer`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return (JSON.parse(text) as { outputs: Awaited<ReturnType<typeof inferJson>> }).outputs
}

function floatsIn(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer, 0, bytes.length / 4)
}

const grpcInput = (inputs: ReadonlyMap<string, Raw>) => ({
  inputs: [...inputs].map(([name, { datatype, shape }]) => ({ name, datatype, shape })),
  raw_input_contents: [...inputs.values()].map(({ bytes }) => bytes),
})

/** Calls the steps one after the other, as a client without the pipeline would. */
async function byHand(
  it: TestServer,
  { steps }: RandomPipeline,
  inputs: ReadonlyMap<string, Raw>,
): Promise<ReadonlyMap<string, Raw>> {
  const values = new Map(inputs)
  for (const step of steps) {
    const given = Object.entries(step.inputs).map(([theirs, ours]): [string, Raw] => {
      const value = values.get(ours)
      assert.ok(value !== undefined, ours)
      return [theirs, value]
    })
    const outputs = await inferBinary(it, step.model, new Map(given))
    for (const [theirs, ours] of Object.entries(step.outputs)) {
      const value = outputs.get(theirs)
      assert.ok(value !== undefined, theirs)
      values.set(ours, value)
    }
  }
  for (const name of inputs.keys()) values.delete(name)
  return values
}

const shown = (values: ReadonlyMap<string, Raw>): unknown =>
  [...values]
    .map(([name, { shape, bytes }]) => [name, [...shape], bytes.toString('hex')])
    .toSorted()

const STORE = temporaryFolder(ofFile)
const echo = (model: string, inputs: number): readonly StepSource[] => {
  const names = Array.from({ length: inputs }, (_, index) => (inputs === 1 ? '' : String(index)))
  const map = (one: string, other: string) =>
    Object.fromEntries(names.map((name) => [`${one}${name}`, `${other}${name}`]))
  return [
    { model, inputs: map('x', 'a'), outputs: map('y', 'between') },
    { model, inputs: map('x', 'between'), outputs: map('y', 'b') },
  ]
}
writeModelFolder(
  STORE,
  'echo_all',
  identityGraph(...DATATYPES.map((type) => ({ type, shape: ['', ''] }))),
  { 'model.json': '{"allowEmptyInputs": true}' },
)
writePipeline(STORE, 'twice_all', echo('echo_all', DATATYPES.length))
writeModelFolder(STORE, 'echo_int64', identityGraph({ type: 'INT64', shape: ['N', 'M'] }))
writePipeline(STORE, 'twice_int64', echo('echo_int64', 1))
const PIPELINES = Array.from({ length: 2 }, (_, index) =>
  randomPipeline(randomNumbers(SEED + index), STORE, `p${index}`),
)
/** The models load when they are needed, so the server starts at once. */
const server = (): Promise<TestServer> =>
  sharedServer([], { grpcPort: 0, modelStore: STORE, load: 'on-demand' })

test(`random pipelines have the results of their steps (ONNXD_TEST_SEED=${SEED})`, async (t) => {
  const random = randomNumbers(SEED)
  const it = await server()
  const client = new GrpcTestClient(t, it.grpcAddress)
  for (const pipeline of PIPELINES) {
    for (let round = 0; round < 3; round++) {
      const rows = random.integer(1, 4)
      const inputs = new Map(
        [...pipeline.widths].map(([name, width]): [string, Raw] => {
          const values = Array.from({ length: rows * width }, () => random.next() * 4 - 2)
          const bytes = Buffer.from(Float32Array.from(values).buffer)
          return [name, { datatype: 'FP32', shape: [rows, width], bytes }]
        }),
      )
      const wanted = await byHand(it, pipeline, inputs)
      const place = `${pipeline.name}, round ${round}`
      assert.deepEqual(shown(await inferBinary(it, pipeline.name, inputs)), shown(wanted), place)

      const json = await inferJson(it, pipeline.name, inputs)
      const read = json.map(({ name, shape, data }): [string, Raw] => {
        const bytes = Buffer.from(Float32Array.from(data).buffer)
        return [name, { datatype: 'FP32', shape, bytes }]
      })
      assert.deepEqual(shown(new Map(read)), shown(wanted), `${place}: JSON`)

      const request = { model_name: pipeline.name, ...grpcInput(inputs) }
      const response = await client.ask('ModelInfer', request)
      const raw = response['raw_output_contents'] as Buffer[]
      const outputs = response['outputs'] as { name: string; datatype: string; shape: string[] }[]
      const got = outputs.map(({ name, datatype, shape }, index): [string, Raw] => {
        return [name, { datatype, shape: shape.map(Number), bytes: raw[index] ?? Buffer.alloc(0) }]
      })
      assert.deepEqual(shown(new Map(got)), shown(wanted), `${place}: gRPC`)
    }
  }
})

test(`tensors of each datatype pass unchanged (ONNXD_TEST_SEED=${SEED})`, async (t) => {
  const random = randomNumbers(SEED)
  const it = await server()
  const client = new GrpcTestClient(t, it.grpcAddress)
  for (let round = 0; round < 5; round++) {
    const tensors = DATATYPES.map((datatype) => randomTensor(random, datatype))
    const named = (letter: string): ReadonlyMap<string, Raw> =>
      new Map(tensors.map((tensor, index) => [`${letter}${index}`, tensor]))
    const outputs = await inferBinary(it, 'twice_all', named('a'))
    assert.deepEqual(shown(outputs), shown(named('b')), `round ${round}`)
    const request = { model_name: 'twice_all', ...grpcInput(named('a')) }
    const response = await client.ask('ModelInfer', request)
    const raw = (response['raw_output_contents'] as Buffer[]).map((one) => one.toString('hex'))
    const wanted = tensors.map(({ bytes }) => bytes.toString('hex'))
    assert.deepEqual(raw, wanted, `round ${round}: gRPC`)
  }
})

test('numbers beyond 2^53 stay as they are in JSON', async () => {
  const it = await server()
  const large = '9223372036854775807'
  for (const [route, body] of [
    ['/predictions/twice_int64', `{"a":[[${large},-1]]}`],
    [
      '/v2/models/twice_int64/infer',
      `{"inputs":[{"name":"a","datatype":"INT64","shape":[1,2],"data":[${large},-1]}]}`,
    ],
    ['/v1/models/twice_int64:predict', `{"instances":[[${large},-1]]}`],
  ] as const) {
    const answer = await it.fetch(route, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    const text = await answer.text()
    assert.deepEqual([answer.status, text.includes(large)], [200, true], `${route} ${text}`)
  }
})
