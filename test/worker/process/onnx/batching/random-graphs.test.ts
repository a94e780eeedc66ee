/**
 * Responses of joined runs must be equal to those of separate runs: random graphs in a real worker,
 * random requests in every REST dialect.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { WirePrediction, WireRequest } from '../../../../../src/worker/wire/messages.ts'
import { answerOf, inferRequest, outputsOf } from '../../../../helpers/infer.ts'
import { writeModel } from '../../../../helpers/onnx-builder.ts'
import { randomGraph } from '../../../../helpers/random-graphs.ts'
import type { RandomGraph } from '../../../../helpers/random-graphs.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import type { RandomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import { startWorker, wireRequest } from '../../../../helpers/worker-client.ts'
import type { WorkerClient } from '../../../../helpers/worker-client.ts'

const SEED = Number(process.env['ONNXD_TEST_SEED'] ?? 20_261_128)
const GRAPHS = 24
const OCTETS = 'application/octet-stream'
const JSON_TYPE = 'application/json'

/** Samples of one request. */
type Rows = readonly (readonly number[])[]

/** A request of one dialect, and how its response is read: numbers in the order of the outputs. */
interface Dialect {
  readonly name: string
  request(rows: Rows, outputs: readonly string[]): WireRequest
  read(prediction: WirePrediction, outputs: readonly string[]): readonly number[]
}

const bytesOf = (rows: Rows): Buffer => Buffer.from(Float32Array.from(rows.flat()).buffer)
const floatsIn = (bytes: Buffer): number[] => [
  ...new Float32Array(new Uint8Array(bytes).buffer, 0, bytes.length / 4),
]
const readJson = ({ body }: WirePrediction): unknown => JSON.parse(body.toString())
/** All numbers of a JSON value, in the order of the outputs' names where it is keyed by them. */
const numbersIn = (value: unknown, outputs: readonly string[]): number[] => {
  if (typeof value === 'number') return [value]
  if (Array.isArray(value)) return value.flatMap((one) => numbersIn(one, outputs))
  const members = new Map(Object.entries(Object(value)))
  return outputs.flatMap((name) => (members.has(name) ? numbersIn(members.get(name), outputs) : []))
}
const outputsInV2 = (prediction: WirePrediction): readonly number[] =>
  outputsOf(answerOf(prediction)).flatMap(({ data, bytes }) =>
    bytes === undefined ? (data ?? []).map(Number) : floatsIn(bytes),
  )

const DIALECTS: readonly Dialect[] = [
  {
    name: 'JSON',
    request: (rows) => wireRequest([['body', JSON.stringify({ x: rows }), JSON_TYPE]]),
    read: (prediction, outputs) => numbersIn(readJson(prediction), outputs),
  },
  {
    name: 'form',
    request: (rows) => wireRequest([['x', JSON.stringify(rows)]]),
    read: (prediction, outputs) => numbersIn(readJson(prediction), outputs),
  },
  {
    name: 'octet-stream',
    request: (rows) => wireRequest([['body', bytesOf(rows), OCTETS]]),
    read: (prediction, outputs) => numbersIn(readJson(prediction), outputs),
  },
  {
    name: 'v1',
    request: (rows) =>
      wireRequest(
        [['body', JSON.stringify({ instances: rows }), JSON_TYPE]],
        [[DIALECT_HEADER, 'v1']],
      ),
    read: (prediction, outputs) => {
      const { predictions } = Object(readJson(prediction))
      assert.ok(Array.isArray(predictions))
      // By instance; as the other dialects have it, by output.
      return outputs.length === 1
        ? numbersIn(predictions, outputs)
        : outputs.flatMap((name) =>
            numbersIn(
              predictions.map((one) => one[name]),
              outputs,
            ),
          )
    },
  },
  {
    name: 'v2 JSON',
    request: (rows, outputs) => {
      const json = {
        inputs: [
          { name: 'x', datatype: 'FP32', shape: [rows.length, rows[0]?.length], data: rows.flat() },
        ],
        outputs: outputs.map((name) => ({ name })),
      }
      return wireRequest([['body', JSON.stringify(json), JSON_TYPE]], [[DIALECT_HEADER, 'v2']])
    },
    read: outputsInV2,
  },
  {
    name: 'v2 binary',
    request: (rows, outputs) => {
      const data = bytesOf(rows)
      const parameters = { binary_data_size: data.length }
      const { headers, body } = inferRequest(
        {
          inputs: [
            { name: 'x', datatype: 'FP32', shape: [rows.length, rows[0]?.length], parameters },
          ],
          outputs: outputs.map((name) => ({ name, parameters: { binary_data: true } })),
        },
        data,
      )
      return wireRequest([['body', body, '']], [[DIALECT_HEADER, 'v2'], ...headers])
    },
    read: outputsInV2,
  },
]

function randomRows(random: RandomNumbers, width: number): Rows {
  const scale = [1, 1, 0.01, 50][random.integer(0, 3)] ?? 1
  const shift = [0, 0, 2][random.integer(0, 2)] ?? 0
  return Array.from({ length: random.integer(1, 3) }, () =>
    Array.from({ length: width }, () => Math.fround((random.next() * 2 - 1) * scale + shift)),
  )
}

function assertSame(actual: readonly number[], expected: readonly number[], place: string): void {
  assert.equal(actual.length, expected.length, place)
  for (const [index, value] of actual.entries()) {
    const other = expected[index] ?? Number.NaN
    // One step of the quantised operators is 0.05; a mixed sample is further off than its tenth.
    const isClose = Math.abs(value - other) <= 1e-4 + 1e-3 * Math.abs(other)
    assert.ok(
      isClose || Object.is(value, other),
      `${place}: element ${index} is ${value}, alone ${other}`,
    )
  }
}

async function describe(client: WorkerClient): Promise<{ joins: boolean; reason: string }> {
  const { predictions } = await client.predict([wireRequest([], [['Describe', 'true']])])
  const [first] = predictions
  assert.ok(first)
  return Object(readJson(first)).batching
}

/** Frames of several requests, each compared with itself in a frame of its own. */
async function compare(
  client: WorkerClient,
  graph: RandomGraph,
  random: RandomNumbers,
  place: string,
): Promise<void> {
  for (const dialect of DIALECTS) {
    // Companions of the same dialect, and of any.
    for (const others of [[dialect], DIALECTS]) {
      const members = Array.from({ length: random.integer(2, 5) }, (_, index) => {
        const own =
          index === 0 ? dialect : (others[random.integer(0, others.length - 1)] ?? dialect)
        const isSubset = own.name.startsWith('v2') && random.integer(0, 2) === 0
        const outputs = isSubset ? graph.outputs.slice(-1) : graph.outputs
        return { own, outputs, request: own.request(randomRows(random, graph.width), outputs) }
      })
      const frame = members.map(({ request }, index) => ({ ...request, id: `r${index}` }))
      const { predictions } = await client.predict(frame)
      for (const [index, { own, outputs }] of members.entries()) {
        const [request, joined] = [frame[index], predictions[index]]
        assert.ok(request && joined)
        const single = (await client.predict([request])).predictions[0]
        assert.ok(single)
        const where = `${place}, ${own.name}, request ${index} of ${members.length}`
        assert.equal(single.status, 200, `${where}: ${single.body.toString()}`)
        assert.equal(joined.status, 200, `${where}: ${joined.body.toString()}`)
        assertSame(own.read(joined, outputs), own.read(single, outputs), where)
      }
    }
  }
}

test(`${GRAPHS} random graphs give the same result joined and alone, in every dialect (seed ${SEED})`, async (t) => {
  const worker = await startWorker(t)
  const folder = temporaryFolder(t)
  const random = randomNumbers(SEED)
  for (let index = 0; index < GRAPHS; index++) {
    const graph = randomGraph(random, index % 2 === 1)
    const modelPath = writeModel(path.join(folder, `g${index}.onnx`), graph.model)
    const client = await worker.connect()
    const { code, message } = await client.load({ modelPath, handler: 'onnx', batchSize: 8 })
    const place = `seed ${SEED}, graph ${index}: ${graph.operators}`
    assert.equal(code, 200, `${place}: ${message}`)
    const before = await describe(client)
    assert.equal(before.joins, !graph.mixes, `${place}: ${before.reason}`)
    await compare(client, graph, random, place)
    // The trial of the first joined run has not found the proof wrong.
    assert.deepEqual(await describe(client), before, place)
    client.socket.destroy()
    await client.closed
  }
})
