/**
 * Requests with inputs without elements. Concat of onnxruntime leaves their part of the result as
 * it was in memory, so a response could have the numbers of another client.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { floats, node, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { Dimension, GraphSource, ValueSource } from '../helpers/onnx-builder.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

type Rows = readonly (readonly number[])[]

const value = (name: string, ...shape: Dimension[]): ValueSource => ({ name, type: 'FP32', shape })
const joined = (inputs: readonly string[], axis: number): GraphSource['nodes'] => [
  node('Concat', inputs, 'joined', { axis }),
  node('Relu', ['joined'], 'y'),
]

/** Graphs in which an empty input leaves a part of the result unwritten. */
const GRAPHS: Readonly<Record<string, GraphSource>> = {
  columns: {
    inputs: [value('a', '', 1), value('b', '', 1)],
    outputs: [value('y', '', 2)],
    nodes: joined(['a', 'b'], 1),
  },
  named: {
    inputs: [value('a', 'first', 1), value('b', 'second', 1)],
    outputs: [value('y', 'rows', 2)],
    nodes: joined(['a', 'b'], 1),
  },
  constant: {
    inputs: [value('a', '', 2)],
    outputs: [value('y', '', 4)],
    constants: { start: floats([1, 2], [1, 2]) },
    nodes: joined(['start', 'a'], 1),
  },
  stacked: {
    inputs: [value('a', '', ''), value('b', '', '')],
    outputs: [value('y', '', '')],
    nodes: joined(['a', 'b'], 0),
  },
}
/** What a client sends, and what an attacker sends after it. */
const REQUESTS: Readonly<
  Record<string, { full: Record<string, Rows>; empty: Record<string, Rows> }>
> = {
  columns: { full: { a: [[71]], b: [[73]] }, empty: { a: [[1]], b: [] } },
  named: { full: { a: [[71]], b: [[73]] }, empty: { a: [[1]], b: [] } },
  constant: { full: { a: [[71, 73]] }, empty: { a: [] } },
  stacked: { full: { a: [[71]], b: [[73]] }, empty: { a: [[1]], b: [[]] } },
}

function infer(server: TestServer, model: string, inputs: Record<string, Rows>, isBinary: boolean) {
  const shapeOf = (rows: Rows): number[] =>
    rows.length === 0 ? [0, model === 'constant' ? 2 : 1] : [rows.length, rows[0]?.length ?? 0]
  const entries = Object.entries(inputs)
  const numbers = entries.map(([, rows]) => Buffer.from(Float32Array.from(rows.flat()).buffer))
  const tensors = entries.map(([name, rows], index) => ({
    name,
    datatype: 'FP32',
    shape: shapeOf(rows),
    ...(isBinary
      ? { parameters: { binary_data_size: numbers[index]?.length } }
      : { data: rows.flat() }),
  }))
  const head = Buffer.from(JSON.stringify({ inputs: tensors }))
  return server.fetch(`/v2/models/${model}/infer`, {
    method: 'POST',
    body: isBinary ? Buffer.concat([head, ...numbers]) : head,
    headers: isBinary ? { 'inference-header-content-length': String(head.length) } : {},
  })
}

async function serveGraphs(t: Parameters<typeof serve>[0], settings: object): Promise<TestServer> {
  const root = temporaryFolder(t)
  const models = Object.entries(GRAPHS).map(([name, graph]) =>
    writeModelFolder(root, name, graph, { 'model.json': JSON.stringify(settings) }),
  )
  return serve(t, models)
}

test('an input without elements never gets numbers of another request', async (t) => {
  const server = await serveGraphs(t, {})
  for (const [model, { full, empty }] of Object.entries(REQUESTS)) {
    for (const isBinary of [false, true]) {
      assert.equal((await infer(server, model, full, isBinary)).status, 200, model)
      const answer = await infer(server, model, empty, isBinary)
      const text = await answer.text()
      assert.equal(answer.status, 400, `${model}: ${text}`)
      assert.match(text, /Input .*[ab].* has no elements, but the result would have some/, model)
    }
    const answer = await server.fetch(`/predictions/${model}`, {
      method: 'POST',
      body: JSON.stringify(empty),
      headers: { 'content-type': 'application/json' },
    })
    assert.equal(answer.status, 400, model)
  }
})

test('no rows at all give no rows, and a model may be made for empty inputs', async (t) => {
  const server = await serveGraphs(t, {})
  const none = await infer(server, 'columns', { a: [], b: [] }, false)
  assert.equal(none.status, 200)
  assert.match(await none.text(), /"shape":\[0,2\],"data":\[\]/)

  const allowed = await serveGraphs(t, { allowEmptyInputs: true })
  const answer = await infer(allowed, 'columns', { a: [[1]], b: [] }, false)
  assert.equal(answer.status, 200)
})
