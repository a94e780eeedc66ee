import assert from 'node:assert/strict'
import { basename, resolve } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { handlerModel } from '../helpers/handler-model.ts'
import { json, serve } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

type Answer = readonly [status: number, body: unknown]

function models(t: Cleanup): string[] {
  const sentence = tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
  const ranker = tinyTextModel(t, 'ranker', {
    suffix: 'ForSequenceClassification',
    labels: ['LABEL_0'],
    graph: 'pooled',
    width: 1,
  })
  return [sentence, ranker]
}

async function post(server: TestServer, path: string, body: unknown): Promise<Answer> {
  const headers = { 'content-type': 'application/json' }
  const content = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await server.fetch(path, { method: 'POST', headers, body: content })
  return [response.status, await json(response)]
}

test('embeddings in the form of OpenAI', async (t) => {
  const server = await serve(t, models(t), { workers: 1 })
  const ask = (body: object): Promise<Answer> => post(server, '/v1/embeddings', body)
  const input = ['the cat sat', 'a dog']
  const [, vectors] = await post(server, '/predictions/sentence', input)
  const [first, second] = vectors as number[][]

  // [CLS] the cat sat [SEP], [CLS] a dog [SEP]
  const usage = { prompt_tokens: 9, total_tokens: 9 }
  assert.deepEqual(await ask({ model: 'sentence', input }), [
    200,
    {
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: first },
        { object: 'embedding', index: 1, embedding: second },
      ],
      model: 'sentence',
      usage,
    },
  ])

  const one = { model: 'sentence:1.0', input: 'the cat sat', user: 'somebody' }
  const [status, short] = await ask({ ...one, encoding_format: 'float', dimensions: 3 })
  assert.equal(status, 200)
  assert.deepEqual((short as { data: unknown }).data, [
    { object: 'embedding', index: 0, embedding: first?.slice(0, 3) },
  ])

  const [, base64] = await ask({ model: 'sentence', input, encoding_format: 'base64' })
  const decoded = (base64 as { data: { embedding: string }[] }).data.map(({ embedding }) => {
    const bytes = Uint8Array.from(Buffer.from(embedding, 'base64'))
    return Array.from(new Float32Array(bytes.buffer))
  })
  const single = (values: readonly number[] | undefined): number[] =>
    Array.from(Float32Array.from(values ?? []))
  assert.deepEqual(decoded, [single(first), single(second)], 'base64 has the same numbers')

  const response = await server.fetch('/v1/embeddings', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: gzipSync(JSON.stringify({ input, model: 'sentence' })),
  })
  assert.equal(response.status, 200, 'a compressed body')

  const list = await json(await server.fetch('/v1/models'))
  const ids = (list as { data: { id: string }[] }).data.map(({ id }) => id)
  assert.deepEqual(ids, ['ranker', 'sentence'])
})

test('errors of these paths have the form that their clients expect', async (t) => {
  const handler = handlerModel(t, 'own')
  const iris = resolve('examples/iris')
  const server = await serve(t, [...models(t), iris, handler], {
    workers: 1,
    allowHandlers: true,
  })
  const failure = async (
    path: string,
    body: unknown,
  ): Promise<readonly [number, string | undefined, string | null | undefined, string]> => {
    const [status, answer] = await post(server, path, body)
    const { error } = answer as {
      error: { message: string; type: string; param: string | null; code: string }
    }
    assert.deepEqual(Object.keys(answer as object), ['error'])
    assert.equal(error.type, status < 500 ? 'invalid_request_error' : 'server_error')
    return [status, error.code, error.param, error.message]
  }
  const bad = 'InvalidInputException'
  const model = 'sentence'
  const cases: readonly [body: unknown, status: number, code: string, param: string | null][] = [
    [{ model: 'nothing', input: 'a' }, 404, 'model_not_found', 'model'],
    [{ model: 'sentence:9', input: 'a' }, 404, 'model_not_found', 'model'],
    [{ input: 'a' }, 400, 'BadRequestException', 'model'],
    [{ model }, 400, bad, 'input'],
    [{ model, input: [] }, 400, bad, 'input'],
    [{ model, input: [1, -2] }, 400, bad, 'input'],
    [{ model, input: [1.5] }, 400, bad, 'input'],
    [{ model, input: [1, 'a'] }, 400, bad, 'input'],
    [{ model, input: [[1, 2], {}] }, 400, bad, 'input'],
    [{ model, input: [[1, 2], [100_000]] }, 400, bad, null],
    [{ model, input: Array(100).fill(7) }, 413, 'PayloadTooLargeException', null],
    [{ model, input: { text: 'a' } }, 400, bad, 'input'],
    [{ model, input: 'a', encoding_format: 'hex' }, 400, bad, 'encoding_format'],
    [{ model, input: 'a', dimensions: 0 }, 400, bad, 'dimensions'],
    [{ model, input: 'a', dimensions: 9 }, 400, bad, 'dimensions'],
    [{ model, input: 'a', source_sentence: 'a' }, 400, bad, null],
    [{ model, input: 'a '.repeat(100) }, 413, 'PayloadTooLargeException', null],
    [{ model: 'ranker', input: 'a' }, 400, bad, null],
    [`{"input": "a", "model": "sentence"`, 400, bad, null],
  ]
  for (const [body, status, code, param] of cases) {
    const found = await failure('/v1/embeddings', body)
    assert.deepEqual(found.slice(0, 3), [status, code, param], JSON.stringify(body).slice(0, 80))
  }
  const [, , , tokens] = await failure('/v1/embeddings', { model, input: [100_000] })
  assert.match(tokens, /no token with the id 100000/)
  const [, , , task] = await failure('/v1/rerank', { model, query: 'a', documents: ['b'] })
  assert.match(task, /the task feature-extraction; .* Use \/predictions\/sentence\.$/)

  const embed = await post(server, '/embed', { model: 'ranker', inputs: 'a' })
  assert.equal(embed[0], 400)
  assert.equal((embed[1] as { error_type: string }).error_type, 'Validation')
  const unknown = await post(server, '/embed?x=1', { model: 'nothing', inputs: 'a' })
  assert.deepEqual(Object.keys(unknown[1] as object), ['error', 'error_type'])
  for (const name of ['iris', basename(handler)]) {
    const [code, , , remedy] = await failure('/v1/embeddings', { model: name, input: 'a' })
    assert.equal(code, 400, name)
    assert.match(remedy, /Use \/predictions\//, name)
  }
  const method = await server.fetch('/v1/embeddings')
  assert.equal(method.status, 405)
  assert.equal(
    typeof ((await json(method)) as { error: { message: string } }).error.message,
    'string',
  )
})

test('ranking in the forms of Cohere and text-embeddings-inference', async (t) => {
  const server = await serve(t, models(t), { workers: 1 })
  const texts = ['paris', 'a cat sat', 'berlin']
  const request = { query: 'where', texts, return_text: true }
  const [, natural] = await post(server, '/predictions/ranker', request)
  const ranked = natural as { index: number; score: number; text: string }[]
  assert.equal(ranked.length, 3)

  const cohere = { model: 'ranker', query: 'where', documents: texts, return_documents: true }
  const expected = ranked.map(({ index, score, text }) => {
    return { index, relevance_score: score, document: { text } }
  })
  // [CLS] where [SEP] … [SEP] with 1, 3 and 1 tokens
  const tokens = 17
  const usage = { prompt_tokens: tokens, total_tokens: tokens }
  const all = { model: 'ranker', results: expected, meta: { tokens: { input_tokens: 17 } }, usage }
  assert.deepEqual(await post(server, '/v1/rerank', cohere), [200, all])
  assert.deepEqual(await post(server, '/rerank', cohere), [200, all])
  const asObjects = { ...cohere, documents: texts.map((text) => ({ text, id: 1 })) }
  assert.deepEqual(await post(server, '/v1/rerank', asObjects), [200, all])

  const { return_documents: _, ...plain } = cohere
  const [, best] = await post(server, '/v1/rerank', { ...plain, top_n: 1 })
  const [{ index, score } = { index: -1, score: 0 }] = ranked
  assert.deepEqual((best as { results: unknown }).results, [{ index, relevance_score: score }])
  const long = await post(server, '/v1/rerank', { ...plain, documents: ['cat '.repeat(100)] })
  assert.equal(long[0], 200, 'long documents are cut')

  assert.deepEqual(await post(server, '/rerank', { model: 'ranker', ...request }), [200, ranked])
  const [, raw] = await post(server, '/rerank', { model: 'ranker', ...request, raw_scores: true })
  const [{ score: logit } = { score: 0 }] = raw as { score: number }[]
  assert.ok(Math.abs(1 / (1 + Math.exp(-logit)) - score) < 1e-6)
  for (const body of [{ documents: texts }, { query: 'a' }, { query: 'a', documents: [] }]) {
    const [status] = await post(server, '/v1/rerank', { model: 'ranker', ...body })
    assert.equal(status, 400, JSON.stringify(body))
  }
  const [status, answer] = await post(server, '/v1/rerank', { ...plain, top_n: 0 })
  assert.deepEqual([status, (answer as { error: { param: string } }).error.param], [400, 'top_n'])
})

test('the only text model needs no name', async (t) => {
  const [sentence = ''] = models(t)
  const server = await serve(t, [sentence], { workers: 1 })
  const [, vectors] = await post(server, '/predictions/sentence', {
    inputs: ['the cat', 'a dog'],
    normalize: true,
  })
  const inputs = ['the cat', 'a dog']
  assert.deepEqual(await post(server, '/embed', { inputs }), [200, vectors])
  const [first] = vectors as number[][]
  assert.deepEqual(await post(server, '/embed', { inputs: 'the cat' }), [200, [first]])
  const [, similarities] = await post(server, '/similarity', {
    inputs: { source_sentence: 'the cat', sentences: ['the cat', 'a dog'] },
  })
  assert.equal((similarities as number[]).length, 2)
  assert.ok(Math.abs(((similarities as number[])[0] ?? 0) - 1) < 1e-6)
  const [, openAi] = await post(server, '/v1/embeddings', { input: 'the cat' })
  assert.equal((openAi as { model: string }).model, 'sentence')
})
