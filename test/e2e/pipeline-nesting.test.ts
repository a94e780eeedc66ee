/** Pipelines whose steps are pipelines, again and again. No description may block the server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { writePipeline } from '../helpers/pipelines.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const WAIT_MS = 20_000
/** With so many steps at each level, the deepest pipeline leads to 16 million models. */
const STEPS = 8
const DEPTH = 8

/** Each step reads the input of the pipeline. */
const manyTimes = (model: string) =>
  Array.from({ length: STEPS }, (_, index) => ({
    model,
    inputs: { x: 'x' },
    outputs: { y: index === 0 ? 'y' : `y${index}` },
  }))

function get(it: TestServer, route: string): Promise<Response> {
  return it.fetch(route, { signal: AbortSignal.timeout(WAIT_MS) })
}

test('pipelines of pipelines are described at once, in a circle or not', async (t) => {
  const folder = temporaryFolder(t)
  writeModelFolder(folder, 'level0', identityGraph({ type: 'FP32', shape: ['N', 4] }))
  for (let level = 1; level <= DEPTH; level += 1)
    writePipeline(folder, `level${level}`, manyTimes(`level${level - 1}`), { outputs: ['y'] })
  writePipeline(folder, 'back', manyTimes('forth'))
  writePipeline(folder, 'forth', manyTimes('back'))
  writePipeline(folder, 'aside', manyTimes('back'))
  const it = await serve(t, [], { modelStore: folder, load: 'on-demand' })
  const deepest = await get(it, `/v2/models/level${DEPTH}`)
  const { inputs } = (await json(deepest)) as { inputs: unknown }
  assert.equal(deepest.status, 200)
  assert.deepEqual(inputs, [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }])
  const circles = { back: /back → forth → back/, forth: /forth → back → forth/, aside: /back/ }
  for (const [name, path] of Object.entries(circles)) {
    const circle = await get(it, `/v2/models/${name}`)
    assert.equal(circle.status, 500)
    assert.match(await circle.text(), path)
  }
  assert.equal((await get(it, '/ping')).status, 200)
})
