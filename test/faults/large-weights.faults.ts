/**
 * A model with more than 2 GB of external data: the limit of a protobuf file must not stop the
 * weight cache. The data is a file of zeros without blocks; the cache writes 2.3 GB.
 */
import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, openSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { workersOf } from '../helpers/observe.ts'
import { node, writeModel } from '../helpers/onnx-builder.ts'
import type { Constant } from '../helpers/onnx-builder.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { entriesIn } from '../helpers/weight-cache.ts'
import { reportFigure } from './figures.ts'

const MIB = 1024 * 1024
const WIDTH = 256
/** Each table has 768 MiB. */
const ROWS = 768 * 1024
const TABLES = ['a', 'b', 'c']
const TIMEOUT_MS = 600_000

/** Three tables of zeros, of which the model returns the sum of one row each. */
function writeLargeModel(folder: string): string {
  const constants: Record<string, Constant> = {}
  for (const table of TABLES) {
    const file = openSync(path.join(folder, `${table}.data`), 'w')
    ftruncateSync(file, ROWS * WIDTH * 4)
    closeSync(file)
    constants[table] = { type: 'FP32', shape: [ROWS, WIDTH], location: `${table}.data` }
  }
  return writeModel(path.join(folder, 'model.onnx'), {
    inputs: [{ name: 'row', type: 'INT64', shape: [1] }],
    outputs: [{ name: 'y', type: 'FP32', shape: [1, WIDTH] }],
    nodes: [
      ...TABLES.map((table) => node('Gather', [table, 'row'], `row_${table}`)),
      node(
        'Sum',
        TABLES.map((table) => `row_${table}`),
        'y',
      ),
    ],
    constants,
  })
}

async function weightsOf(server: TestServer): Promise<{ state: string; reason?: string }> {
  const [first] = (await json(await server.manage('/models/m/all'))) as [
    { weights: { state: string; reason?: string } },
  ]
  return first.weights
}

async function sumOf(server: TestServer): Promise<number> {
  const inputs = [{ name: 'row', datatype: 'INT64', shape: [1], data: [ROWS - 1] }]
  const body = JSON.stringify({ inputs })
  const answer = await server.fetch('/v2/models/m/infer', { method: 'POST', body })
  assert.equal(answer.status, 200)
  const { outputs } = (await json(answer)) as { outputs: { data: number[] }[] }
  return (outputs[0]?.data ?? []).reduce((sum, value) => sum + value, 0)
}

test(
  'a model with more than 2 GB of external data is served from the weight cache',
  { timeout: TIMEOUT_MS },
  async (t) => {
    const folder = temporaryFolder(t)
    const model = writeLargeModel(folder)
    const cacheDir = path.join(folder, 'cache')
    const settings = { weightCache: 'auto', cacheDir, workers: 1, loadTimeout: 300 } as const
    const first = await serve(t, [`m=${model}`], settings)
    assert.equal(await sumOf(first), 0)
    await until(async () => (await weightsOf(first)).state !== 'pending', TIMEOUT_MS)
    const { state, reason } = await weightsOf(first)
    assert.deepEqual([state, reason], ['shared', undefined])
    await first.close()
    const [key = ''] = entriesIn(cacheDir)
    const { size } = statSync(path.join(cacheDir, key, 'weights.bin'))
    assert.ok(size > 2 ** 31, `${size}`)

    const next = await serve(t, [`m=${model}`], settings)
    assert.equal(await sumOf(next), 0)
    const [worker] = await workersOf(next, 'm')
    assert.ok(worker !== undefined && 'weights' in worker && 'privateMemory' in worker)
    assert.equal(worker.weights, 'shared')
    const own = Math.ceil(Number(worker.privateMemory) / MIB)
    reportFigure(t, {
      what: 'own memory of a worker with 2.3 GB of cached weights',
      goal: '≤ 200 MiB',
      seen: `${own} MiB`,
      isMet: own <= 200,
    })
    assert.ok(own <= 200, `${own} MiB`)
  },
)
