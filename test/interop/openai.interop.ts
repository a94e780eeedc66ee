/** Embeddings with the official clients of OpenAI for Python and JavaScript. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { GENERATORS, installGenerators } from '../helpers/client-generators.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const environment = process.env['ONNXD_INTEROP_OPENAI']

test(
  'the Python client of OpenAI gets the vectors of the model',
  { skip: environment === undefined && 'needs Python with openai; run npm run test:interop' },
  async (t) => {
    const model = tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
    const server = await serve(t, [model], { workers: 1 })
    const texts = ['the cat sat', 'a dog', 'anna and bob live in berlin']
    const response = await server.fetch('/predictions/sentence', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(texts),
    })
    const tokenized = await server.fetch('/tokenize', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ inputs: texts, add_special_tokens: false }),
    })
    const ids = ((await json(tokenized)) as { id: number }[][]).map((one) =>
      one.map(({ id }) => id),
    )
    const expected = path.join(temporaryFolder(t), 'expected.json')
    writeFileSync(expected, JSON.stringify({ texts, ids, vectors: await json(response) }))
    const python = path.join(environment ?? '', 'bin', 'python')
    const script = path.resolve('test/interop/openai_checks.py')
    const { stdout } = await promisify(execFile)(python, [script, server.inferenceUrl, expected])
    assert.equal(stdout, 'done\n')
  },
)

/** What the test uses of the package `openai`. */
interface OpenAi {
  readonly embeddings: {
    create(request: object): Promise<{
      readonly data: readonly { readonly index: number; readonly embedding: readonly number[] }[]
      readonly model: string
      readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
    }>
  }
  readonly models: { list(): AsyncIterable<{ readonly id: string }> }
}

test(
  'the JavaScript client of OpenAI gets the vectors of the model',
  { timeout: 240_000 },
  async (t) => {
    if (!installGenerators(t)) return
    const file = path.join(GENERATORS, 'node_modules/openai/index.mjs')
    const { default: Client } = (await import(pathToFileURL(file).href)) as {
      default: new (options: object) => OpenAi
    }
    const model = tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
    const server = await serve(t, [model], { workers: 1 })
    const client = new Client({
      baseURL: `${server.inferenceUrl}/v1`,
      apiKey: 'none',
      maxRetries: 0,
    })
    const input = ['the cat sat', 'a dog']
    const response = await server.fetch('/predictions/sentence', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(input),
    })
    const vectors = ((await json(response)) as number[][]).map((vector) =>
      Array.from(Float32Array.from(vector)),
    )
    // Without a format the client asks for base64, and decodes it.
    const { data, usage } = await client.embeddings.create({ model: 'sentence', input })
    const found = data.map(({ index, embedding }) => [index, Array.from(embedding)])
    assert.deepEqual(
      found,
      vectors.map((vector, index) => [index, vector]),
    )
    assert.deepEqual(usage, { prompt_tokens: 9, total_tokens: 9 })
    const floats = await client.embeddings.create({
      model: 'sentence',
      input: input[0],
      encoding_format: 'float',
      dimensions: 3,
    })
    assert.deepEqual(
      floats.data.map(({ embedding }) => Array.from(Float32Array.from(embedding))),
      [vectors[0]?.slice(0, 3)],
    )
    const names: string[] = []
    for await (const { id } of client.models.list()) names.push(id)
    assert.deepEqual(names, ['sentence'])
    await assert.rejects(client.embeddings.create({ model: 'nothing', input }), {
      status: 404,
      code: 'model_not_found',
      param: 'model',
    })
  },
)
