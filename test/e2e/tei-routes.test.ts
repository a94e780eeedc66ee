/** The paths of text-embeddings-inference, at the top and below `/models/{model}`. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { json, serve } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { tinyTextModel, tinyTokenizer } from '../helpers/text-models.ts'

type Answer = readonly [status: number, body: unknown]

interface Token {
  readonly id: number
  readonly text: string
  readonly special: boolean
  readonly start: number | null
  readonly stop: number | null
}

const IDS = (tinyTokenizer()['model'] as { vocab: Record<string, number> }).vocab
const LABELS = ['bad', 'so so', 'good']

function sentenceModel(t: Cleanup): string {
  const prompts = { prompts: { query: 'where is ' } }
  const files = { 'config_sentence_transformers.json': prompts }
  return tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8, files })
}

function classifierModel(t: Cleanup): string {
  const suffix = 'ForSequenceClassification'
  return tinyTextModel(t, 'mood', { suffix, labels: LABELS, graph: 'pooled', width: 3 })
}

async function post(server: TestServer, path: string, body: unknown): Promise<Answer> {
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return [response.status, await json(response)]
}

async function ok(server: TestServer, path: string, body: unknown): Promise<unknown> {
  const [status, answer] = await post(server, path, body)
  assert.equal(status, 200, JSON.stringify(answer))
  return answer
}

test('tokens of texts, texts of tokens, and tokens as input of embeddings', async (t) => {
  const server = await serve(t, [sentenceModel(t)], { workers: 1 })
  const ask = (path: string, body: unknown): Promise<unknown> => ok(server, path, body)
  const text = '\u{1f600} The catdog, sat'
  const [tokens = []] = (await ask('/tokenize', { inputs: text })) as Token[][]
  const cls = { id: IDS['[CLS]'], text: '[CLS]', special: true, start: null, stop: null }
  assert.deepEqual(tokens[0], cls)
  assert.deepEqual(tokens.at(-1), { ...cls, id: IDS['[SEP]'], text: '[SEP]' })
  const own = tokens.slice(1, -1)
  assert.deepEqual(own.at(-1), { id: IDS['sat'], text: 'sat', special: false, start: 14, stop: 17 })
  const chars = Array.from(text)
  for (const { text: part, start, stop } of own.filter(({ special }) => !special)) {
    assert.equal(part, chars.slice(start ?? 0, stop ?? 0).join(''))
  }
  const plain = await ask('/tokenize', { inputs: [text], add_special_tokens: false })
  assert.deepEqual(plain, [own])
  const prompted = { inputs: 'paris', prompt_name: 'query', add_special_tokens: false }
  const [query = []] = (await ask('/tokenize', prompted)) as Token[][]
  assert.deepEqual(
    query.map((one) => one.text),
    ['where', 'is', 'paris'],
  )

  const sat = ['the', 'cat', 'sat'].map((word) => IDS[word] ?? 0)
  const whole = [IDS['[CLS]'], ...sat, IDS['[SEP]']]
  assert.deepEqual(await ask('/decode', { ids: whole }), ['the cat sat'])
  const kept = { ids: [whole, sat], skip_special_tokens: false }
  assert.deepEqual(await ask('/decode', kept), ['[CLS] the cat sat [SEP]', 'the cat sat'])

  const embed = (input: unknown): Promise<unknown> => ask('/v1/embeddings', { input })
  const expected = await embed(['the cat sat'])
  assert.deepEqual(await embed(sat), expected, 'a list of ids is one text')
  assert.deepEqual(await embed([sat]), expected)
  assert.deepEqual(await embed(whole), expected, 'special tokens are not added twice')
  assert.deepEqual(await embed([sat, 'a dog']), await embed(['the cat sat', 'a dog']))
  assert.deepEqual(
    await ask('/embed', { inputs: [sat], prompt_name: 'query' }),
    await ask('/embed', { inputs: ['where is the cat sat'] }),
    'the prompt stands before ids as well',
  )
})

test('vectors of all tokens become the vector of the text', async (t) => {
  const server = await serve(t, [sentenceModel(t)], { workers: 1 })
  const inputs = ['the cat sat', 'dog']
  const all = (await ok(server, '/embed_all', { inputs })) as number[][][]
  assert.deepEqual(
    all.map((tokens) => tokens.length),
    [5, 3],
  )
  const means = all.map((tokens) =>
    (tokens[0] ?? []).map(
      (_, column) => tokens.reduce((sum, vector) => sum + (vector[column] ?? 0), 0) / tokens.length,
    ),
  )
  const vectors = (await ok(server, '/embed', { inputs, normalize: false })) as number[][]
  assert.deepEqual(
    vectors.map(({ length }) => length),
    [8, 8],
  )
  for (const [index, value] of vectors.flat().entries()) {
    assert.ok(Math.abs(value - (means.flat()[index] ?? NaN)) < 1e-5, `${index}: ${value}`)
  }
  const small = await serve(t, [sentenceModel(t)], { workers: 1, maxResponseBytes: 2000 })
  const [status, body] = await post(small, '/embed_all', { inputs: Array(50).fill('the cat') })
  assert.deepEqual([status, (body as { error_type: string }).error_type], [507, 'Backend'])
  assert.match((body as { error: string }).error, /200 vectors .* Send fewer texts/)
})

test('sparse embeddings have token ids and weights', async (t) => {
  const files = { 'modules.json': [{ type: 'sentence_transformers.models.SpladePooling' }] }
  const model = { suffix: 'ForMaskedLM', graph: 'tokens', width: 100, rows: 100, files } as const
  const server = await serve(t, [tinyTextModel(t, 'sparse', model)], { workers: 1 })
  const natural = await ok(server, '/predictions/sparse', ['the cat', 'dog'])
  const expected = (natural as { index: number; value: number }[][]).map((weights) =>
    weights.map(({ index, value }) => ({ index, value })),
  )
  assert.ok(expected.every(({ length }) => length > 10))
  assert.deepEqual(await ok(server, '/embed_sparse', { inputs: ['the cat', 'dog'] }), expected)
  assert.deepEqual(await ok(server, '/embed_sparse', { inputs: 'the cat' }), [expected[0]])
  const [, info] = await get(server, '/info')
  const { model_type: type } = info as { model_type: unknown }
  assert.deepEqual(type, { embedding: { pooling: 'splade' } })
})

async function get(server: TestServer, path: string): Promise<Answer> {
  const response = await server.fetch(path)
  return [response.status, await json(response)]
}

test('text classification returns all labels', async (t) => {
  const server = await serve(t, [classifierModel(t)], { workers: 1 })
  const natural = (inputs: unknown): Promise<unknown> =>
    ok(server, '/predictions/mood', { inputs, top_k: 3 })
  const texts = ['good cat', ['good cat', 'bad dog']]
  const single = await natural(texts[0])
  const [pair] = (await natural(texts.slice(1))) as unknown[]
  assert.equal((single as unknown[]).length, 3)
  const ask = (inputs: unknown, options = {}): Promise<unknown> =>
    ok(server, '/predict', { inputs, ...options })
  assert.deepEqual(await ask('good cat'), single)
  assert.deepEqual(await ask(['good cat', 'bad dog']), pair, 'two texts are a pair')
  assert.deepEqual(await ask([['good cat'], ['good cat', 'bad dog']]), await natural(texts))
  const raw = (await ask('good cat', { raw_scores: true })) as { score: number }[]
  assert.ok(Math.abs(raw.reduce((sum, { score }) => sum + score, 0) - 1) > 0.01, 'logits')
  const wrong = [[], ['a', 'b', 'c'], [['a'], 'b'], [['a', 'b', 'c']], [1], 7, undefined]
  for (const inputs of wrong) {
    const [status, body] = await post(server, '/predict', { inputs })
    assert.equal(status, 400, JSON.stringify(inputs))
    assert.equal((body as { error_type: string }).error_type, 'Validation')
  }
})

test('the same paths below a model, and what each model says of itself', async (t) => {
  const iris = resolve('examples/iris')
  const handler = handlerModel(t, 'own')
  const models = [sentenceModel(t), classifierModel(t), iris, handler]
  const server = await serve(t, models, {
    workers: 1,
    allowHandlers: true,
    queueSize: 77 * httpProcesses,
  })
  const vectors = await ok(server, '/embed', { model: 'sentence', inputs: 'the cat' })
  assert.deepEqual(await ok(server, '/models/sentence/embed', { inputs: 'the cat' }), vectors)
  const label = await ok(server, '/predict', { model: 'mood', inputs: 'good' })
  assert.deepEqual(await ok(server, '/models/mood/predict', { inputs: 'good' }), label)
  await ok(server, '/models/mood/tokenize', { inputs: 'good' })

  const [, info] = await get(server, '/models/sentence/info')
  assert.deepEqual(info, {
    model_id: 'sentence',
    model_dtype: 'float32',
    model_type: { embedding: { pooling: 'mean' } },
    max_concurrent_requests: 77,
    max_input_length: 64,
    max_batch_tokens: 512,
    max_client_batch_size: 2048,
    auto_truncate: false,
    tokenization_workers: 1,
    version: (info as { version: string }).version,
  })
  const [, mood] = await get(server, '/models/mood/info')
  const classifier = {
    id2label: { 0: 'bad', 1: 'so so', 2: 'good' },
    label2id: { bad: 0, 'so so': 1, good: 2 },
  }
  assert.deepEqual((mood as { model_type: unknown }).model_type, { classifier })

  const own = handler.split('/').at(-1) ?? ''
  const refused: readonly (readonly [path: string, body: object, status: number])[] = [
    ['/models/mood/embed', { inputs: 'a' }, 400],
    ['/models/mood/embed_all', { inputs: 'a' }, 400],
    ['/models/sentence/embed_sparse', { inputs: 'a' }, 400],
    ['/models/sentence/predict', { inputs: 'a' }, 400],
    ['/models/iris/tokenize', { inputs: 'a' }, 400],
    [`/models/${own}/tokenize`, { inputs: 'a' }, 400],
    ['/models/nothing/tokenize', { inputs: 'a' }, 404],
    ['/tokenize', { inputs: 'a' }, 400],
    ['/models/mood/tokenize', { inputs: '\ud800' }, 400],
    ['/models/mood/tokenize', { inputs: 'a', truncate: true }, 400],
    ['/models/mood/tokenize', { inputs: 'a', add_special_tokens: 1 }, 400],
    ['/models/mood/tokenize', { inputs: Array(3000).fill('a') }, 413],
    ['/models/mood/decode', { ids: 'a' }, 400],
    ['/models/mood/decode', { ids: [[1], 2] }, 400],
    ['/models/mood/decode', { ids: [100_000] }, 400],
  ]
  for (const [path, body, status] of refused) {
    const [found, answer] = await post(server, path, body)
    assert.equal(found, status, `${path} ${JSON.stringify(body).slice(0, 60)}`)
    assert.deepEqual(Object.keys(answer as object), ['error', 'error_type'], path)
  }
  for (const path of ['/info', '/models/iris/info', `/models/${own}/info`]) {
    const [status, answer] = await get(server, path)
    assert.equal(status, 400, path)
    assert.deepEqual(Object.keys(answer as object), ['error', 'error_type'], path)
  }
  const method = await get(server, '/models/mood/predict')
  assert.equal(method[0], 405)
})
