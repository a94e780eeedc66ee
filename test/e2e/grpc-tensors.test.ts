/** The same tensors through REST and through gRPC: every datatype, random shapes and values. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DATATYPES } from '../../src/contract/datatypes.ts'
import type { Datatype } from '../../src/contract/datatypes.ts'
import { dataFromBytes } from '../../src/worker/process/onnx/tensors/tensor.ts'
import { GrpcTestClient } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { inferRequest, outputsOf } from '../helpers/infer.ts'
import { writeModelFolder } from '../helpers/onnx-builder.ts'
import { randomTensor } from '../helpers/random-tensor.ts'
import type { RandomTensor } from '../helpers/random-tensor.ts'
import { randomNumbers, testSeed } from '../helpers/random.ts'
import { assertSame } from '../helpers/same.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const ROUNDS = 20
/** Where the elements of a datatype are if they are not raw bytes; FP16 has no such place. */
const FIELDS: Readonly<Record<Exclude<Datatype, 'FP16'>, string>> = {
  BOOL: 'bool_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
}
const TYPED = DATATYPES.filter((datatype) => datatype !== 'FP16')

test('every tensor has the same bytes through REST and through gRPC, raw and typed', async (t) => {
  const folder = temporaryFolder(t)
  const models = [echoModel(folder, 'all', DATATYPES), echoModel(folder, 'typed', TYPED)]
  const server = await serve(t, models, { grpcPort: 0 })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const random = randomNumbers(testSeed())
  for (let round = 0; round < ROUNDS; round++) {
    const tensors = DATATYPES.map((datatype) => randomTensor(random, datatype))
    const raw = tensors.map(({ bytes }) => bytes)
    const rest = await overRest(server, tensors)
    const inputs = tensors.map((tensor) => inputOf(tensor))
    const grpc = await overGrpc(client, { model_name: 'all', inputs, raw_input_contents: raw })
    const typed = await overGrpc(client, {
      model_name: 'typed',
      inputs: tensors.flatMap((tensor) => typedInputOf(tensor) ?? []),
    })
    for (const [index, { datatype, shape, bytes }] of tensors.entries()) {
      const place = `${datatype} [${shape.join()}], round ${round}`
      const wanted = bytes.toString('hex')
      assertSame(rest.get(datatype)?.toString('hex'), wanted, `${place}: REST`)
      assertSame(grpc.get(datatype)?.toString('hex'), wanted, `${place}: raw`)
      if (datatype === 'FP16') continue
      assertSame(typed.get(datatype)?.toString('hex'), wanted, `${place}: typed ${index}`)
    }
  }
})

/** A model that returns an input of each datatype. */
function echoModel(folder: string, name: string, datatypes: readonly Datatype[]): string {
  const values = (kind: string) =>
    datatypes.map((type) => ({ name: `${kind}_${type}`, type, shape: [`a${type}`, `b${type}`] }))
  const graph = {
    inputs: values('in'),
    outputs: values('out'),
    nodes: datatypes.map((type) => ({
      operator: 'Identity',
      inputs: [`in_${type}`],
      outputs: [`out_${type}`],
    })),
  }
  return writeModelFolder(folder, name, graph, { 'model.json': '{"allowEmptyInputs": true}' })
}

function inputOf({ datatype, shape }: RandomTensor): Message {
  return { name: `in_${datatype}`, datatype, shape }
}

function typedInputOf(tensor: RandomTensor): Message | undefined {
  const { datatype } = tensor
  if (datatype === 'FP16') return undefined
  return { ...inputOf(tensor), contents: { [FIELDS[datatype]]: elementsOf(tensor) } }
}

async function overRest(
  server: TestServer,
  tensors: readonly RandomTensor[],
): Promise<Map<string, Buffer>> {
  const inputs = tensors.map((tensor) => ({
    ...inputOf(tensor),
    parameters: { binary_data_size: tensor.bytes.length },
  }))
  const json = { inputs, parameters: { binary_data_output: true } }
  const { body, headers } = inferRequest(json, Buffer.concat(tensors.map(({ bytes }) => bytes)))
  const answer = await server.fetch('/v2/models/all/infer', {
    method: 'POST',
    body: new Uint8Array(body),
    headers: {
      'accept-encoding': 'identity',
      ...Object.fromEntries(headers.map(([name, value]) => [name, value])),
    },
  })
  const outputs = outputsOf({
    status: answer.status,
    headers: new Map(answer.headers),
    body: Buffer.from(await answer.arrayBuffer()),
  })
  return new Map(
    outputs.map(({ datatype, bytes = Buffer.alloc(0) }): [string, Buffer] => [datatype, bytes]),
  )
}

async function overGrpc(client: GrpcTestClient, request: Message): Promise<Map<string, Buffer>> {
  const answer = await client.ask('ModelInfer', request)
  const shapes = (request['inputs'] as { shape: number[] }[]).map(({ shape }) => shape.map(String))
  const outputs = answer['outputs'] as { datatype: string; shape: string[] }[]
  assert.deepEqual(
    outputs.map(({ shape }) => shape),
    shapes,
  )
  const raw = answer['raw_output_contents'] as Buffer[]
  return new Map(
    outputs.map(({ datatype }, index): [string, Buffer] => [
      datatype,
      raw[index] ?? Buffer.alloc(0),
    ]),
  )
}

/** The elements as the client of gRPC takes them. */
function elementsOf({ datatype, bytes }: RandomTensor): unknown[] {
  if (datatype !== 'BYTES') {
    const data = dataFromBytes(datatype, bytes)
    return Array.from({ length: data.length }, (_, index) => {
      const element = data[index]
      return typeof element === 'bigint' ? String(element) : element
    })
  }
  const elements: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    elements.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32LE(at)))
  }
  return elements
}
