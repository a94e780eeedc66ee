/** Texts over the Open Inference Protocol. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { tinyTextModels } from '../helpers/text-models.ts'

interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly (number | string)[]
}

/** Inputs of one request: a text, or a list of texts. */
type Texts = Readonly<Record<string, readonly string[]>>

const bytes = (name: string, data: readonly string[]): object => {
  return { name, datatype: 'BYTES', shape: [data.length], data }
}

async function infer(
  server: TestServer,
  model: string,
  texts: Texts,
  others: object = {},
): Promise<Output[]> {
  const inputs = Object.entries(texts).map(([name, data]) => bytes(name, data))
  const body = JSON.stringify({ inputs, ...others })
  const response = await server.fetch(`/v2/models/${model}/infer`, { method: 'POST', body })
  const answer = (await json(response)) as { outputs: Output[] }
  assert.equal(response.status, 200, JSON.stringify(answer))
  return answer.outputs.map((output) => ({ ...output, data: rounded(output.data) }))
}

async function predict(server: TestServer, model: string, body: object): Promise<unknown> {
  const headers = { 'content-type': 'application/json' }
  const options = { method: 'POST', headers, body: JSON.stringify(body) }
  const response = await server.fetch(`/predictions/${model}`, options)
  assert.equal(response.status, 200)
  return json(response)
}

/** Responses of both routes are written with another number of digits. */
function rounded<T>(values: readonly T[]): T[] {
  return values.map((value) => (typeof value === 'number' ? (Math.fround(value) as T) : value))
}

/** A column of a list of objects. */
const column = (rows: unknown, name: string): unknown[] =>
  (rows as Record<string, unknown>[]).map((row) => row[name])

test('texts over the inference protocol have the results of /predictions', async (t) => {
  const server = await serve(t, tinyTextModels(t), { workers: 1 })
  const texts = ['the cat sat', 'a dog', 'good cat the dog ran']
  const shapes = (outputs: readonly Output[]): unknown[] =>
    outputs.map(({ name, datatype, shape }) => [name, datatype, ...shape])

  const embeddings = await infer(server, 'embed', { text: texts })
  assert.deepEqual(shapes(embeddings), [['embedding', 'FP32', 3, 8]])
  const vectors = await predict(server, 'embed', { inputs: texts })
  assert.deepEqual(embeddings[0]?.data, rounded((vectors as number[][]).flat()))

  const pairs = { text: texts, text_pair: ['a', 'b', 'c'] }
  const labels = await infer(server, 'classify', pairs, { parameters: { top_k: 2 } })
  assert.deepEqual(shapes(labels), [
    ['label', 'BYTES', 3, 2],
    ['score', 'FP32', 3, 2],
  ])
  const inputs = texts.map((text, index) => ({ text, text_pair: pairs.text_pair[index] }))
  const classes = ((await predict(server, 'classify', { inputs, top_k: 2 })) as unknown[]).flat()
  assert.deepEqual(labels[0]?.data, column(classes, 'label'))
  assert.deepEqual(labels[1]?.data, rounded(column(classes, 'score')))

  const ranks = await infer(server, 'rank', { query: ['cat'], texts })
  assert.deepEqual(shapes(ranks), [
    ['index', 'INT64', 3],
    ['score', 'FP32', 3],
  ])
  const ranking = await predict(server, 'rank', { query: 'cat', texts })
  assert.deepEqual(ranks[0]?.data, column(ranking, 'index'))

  const question = { question: ['who sat', 'who ran'], context: ['the cat sat', 'a dog ran'] }
  const answers = await infer(server, 'answer', question)
  assert.deepEqual(
    shapes(answers).map((shape) => (shape as unknown[]).slice(0, 3)),
    [
      ['score', 'FP32', 2],
      ['start', 'INT64', 2],
      ['end', 'INT64', 2],
      ['answer', 'BYTES', 2],
    ],
  )

  // What differs in length from text to text is JSON.
  const spans = await infer(server, 'tag', { text: texts })
  assert.deepEqual(shapes(spans), [['result', 'BYTES', 3]])
  assert.deepEqual(
    spans[0]?.data.map((one) => JSON.parse(String(one))),
    await predict(server, 'tag', { inputs: texts }),
  )
  const chosen = await infer(server, 'embed', { text: ['cat'] }, { outputs: [{ name: 'result' }] })
  assert.deepEqual(
    JSON.parse(String(chosen[0]?.data[0])),
    await predict(server, 'embed', { text: 'cat' }),
  )
  const zero = { text: ['cat'], candidate_labels: ['animal', 'city', 'food'] }
  assert.deepEqual(shapes(await infer(server, 'zeroshot', zero)), [
    ['label', 'BYTES', 1, 3],
    ['score', 'FP32', 1, 3],
  ])
})

test('texts over the inference protocol may be binary, and mistakes get 400', async (t) => {
  const server = await serve(t, tinyTextModels(t, ['embed', 'classify']), { workers: 1 })
  const text = Buffer.from('the cat sat')
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  const tail = Buffer.concat([length, text])
  const head = JSON.stringify({
    inputs: [
      {
        name: 'text',
        datatype: 'BYTES',
        shape: [1, 1],
        parameters: { binary_data_size: tail.length },
      },
    ],
    outputs: [{ name: 'embedding', parameters: { binary_data: true } }],
  })
  const response = await server.fetch('/v2/models/embed/infer', {
    method: 'POST',
    headers: { 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([Buffer.from(head), tail]),
  })
  assert.equal(response.status, 200)
  const body = Buffer.from(await response.arrayBuffer())
  const at = Number(response.headers.get('inference-header-content-length'))
  const bits = new Uint8Array(body.subarray(at))
  const vector = new Float32Array(bits.buffer)
  const [expected] = await infer(server, 'embed', { text: ['the cat sat'] })
  assert.deepEqual([...vector], expected?.data)

  const refuse = async (model: string, request: object): Promise<string> => {
    const options = { method: 'POST', body: JSON.stringify(request) }
    const refused = await server.fetch(`/v2/models/${model}/infer`, options)
    const { error } = (await json(refused)) as { error: string }
    assert.equal(refused.status, 400, error)
    return error
  }
  const one = bytes('text', ['a'])
  assert.match(
    await refuse('embed', { inputs: [bytes('TEXT', ['a'])] }),
    /Unknown input "TEXT".*"text"/,
  )
  assert.match(
    await refuse('classify', { inputs: [one, bytes('text_pair', ['a', 'b'])] }),
    /"text" and "text_pair" differ/,
  )
  assert.match(
    await refuse('classify', { inputs: [bytes('query', ['a', 'b'])] }),
    /"query" must have one/,
  )
  assert.match(
    await refuse('embed', { inputs: [one], parameters: { topk: 1 } }),
    /"topk" is unknown/,
  )
  assert.match(
    await refuse('embed', { inputs: [one], outputs: [{ name: 'label' }] }),
    /Unknown output "label"/,
  )
  const classes = [{ name: 'embedding', parameters: { classification: 2 } }]
  assert.match(await refuse('embed', { inputs: [one], outputs: classes }), /"top_k"/)
  assert.match(await refuse('classify', { inputs: [] }), /Missing/)
})
