import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { failedModels, workerPids } from '../helpers/observe.ts'
import { json, serve } from '../helpers/server.ts'
import { tinyTextModel, tinyTokenizer } from '../helpers/text-models.ts'
import type { TinyModel } from '../helpers/text-models.ts'

const CLASSIFIER: TinyModel = {
  suffix: 'ForSequenceClassification',
  labels: ['bad', 'so so', 'good'],
  graph: 'pooled',
  width: 3,
}
const NAMES: TinyModel = {
  suffix: 'ForTokenClassification',
  labels: ['O', 'B-PER', 'I-PER'],
  graph: 'tokens',
  width: 3,
}

test('a folder of Hugging Face is a typed API', async (t) => {
  const sentiment = tinyTextModel(t, 'sentiment', CLASSIFIER)
  const names = tinyTextModel(t, 'names', NAMES)
  const server = await serve(t, [sentiment, names], { workers: 1 })
  const post = async (route: string, body: string | FormData, type = 'application/json') => {
    const response = await server.fetch(route, {
      method: 'POST',
      body,
      ...(body instanceof FormData ? {} : { headers: { 'content-type': type } }),
    })
    return [response.status, await json(response)] as const
  }

  const [status, scores] = await post('/predictions/sentiment', '"good cat"')
  assert.equal(status, 200)
  assert.equal((scores as unknown[]).length, 3)
  const plain = await post('/predictions/sentiment', 'good cat', 'text/plain; charset=utf-8')
  assert.deepEqual(plain, [200, scores], 'plain text')
  const form = new FormData()
  form.set('text', 'good cat')
  form.set('top_k', '3')
  assert.deepEqual(await post('/predictions/sentiment', form), [200, scores], 'a form')

  // The tensors of the model are still there, in each dialect.
  const ids = { input_ids: [[2, 5, 3]], attention_mask: [[1, 1, 1]], token_type_ids: [[0, 0, 0]] }
  const [, tensors] = await post('/predictions/sentiment', JSON.stringify(ids))
  assert.equal((tensors as { logits: number[][] }).logits[0]?.length, 3)
  const inputs = Object.entries(ids).map(([name, data]) => ({
    name,
    datatype: 'INT64',
    shape: [1, 3],
    data,
  }))
  const [, infer] = await post('/v2/models/sentiment/infer', JSON.stringify({ inputs }))
  const [output] = (infer as { outputs: { data: number[] }[] }).outputs
  assert.deepEqual(output?.data, (tensors as { logits: number[][] }).logits[0])

  const response = await server.fetch('/openapi.json')
  const { paths, components } = (await json(response)) as {
    paths: Record<string, { post: { requestBody: { content: Record<string, unknown> } } }>
    components: { schemas: Record<string, { properties: Record<string, { enum?: string[] }> }> }
  }
  assert.deepEqual(components.schemas['SentimentLabel']?.properties['label']?.enum, [
    'bad',
    'so so',
    'good',
  ])
  assert.deepEqual(components.schemas['NamesSpan']?.properties['entity_group']?.enum, ['O', 'PER'])
  for (const model of ['sentiment', 'names']) {
    const body = paths[`/predictions/${model}`]?.post.requestBody
    const media = body?.content['application/json'] as {
      examples: { smallest: { value: unknown } }
    }
    const example = JSON.stringify(media.examples.smallest.value)
    assert.equal((await post(`/predictions/${model}`, example))[0], 200, `example of ${model}`)
  }
})

test('a tokenizer that is too large, or hangs, costs no other model anything', async (t) => {
  const large = tinyTextModel(t, 'large', CLASSIFIER)
  truncateSync(path.join(large, 'tokenizer.json'), 1024 ** 3)
  const slow = tinyTextModel(t, 'slow', CLASSIFIER)
  const split = { type: 'Split', pattern: { Regex: '(x+x+)+y' }, behavior: 'Isolated' }
  const hanging = { ...tinyTokenizer(), pre_tokenizer: split }
  writeFileSync(path.join(slow, 'tokenizer.json'), JSON.stringify(hanging))
  const fine = tinyTextModel(t, 'fine', CLASSIFIER)
  const server = await serve(t, [large, slow, fine], { workers: 1, responseTimeout: 1 })
  const [failed] = await failedModels(server)
  assert.match(failed?.reason ?? '', /tokenizer\.json is larger than 128 MiB/)

  const send = (model: string, text: string): Promise<Response> =>
    server.fetch(`/predictions/${model}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(text),
    })
  const before = await workerPids(server, 'fine')
  const stuck = send('slow', 'x'.repeat(60))
  const meanwhile = await send('fine', 'cat')
  assert.equal(meanwhile.status, 200)
  const response = await stuck
  assert.equal(response.status, 504, await response.text())
  assert.deepEqual(await workerPids(server, 'fine'), before)
  assert.equal((await send('slow', 'cat')).status, 200, 'a new worker answers')
})

test('a tokenizer that hangs while it loads is killed, and the error is not about the warm-up run', async (t) => {
  const slow = tinyTextModel(t, 'slow', CLASSIFIER)
  const normalizer = { type: 'Replace', pattern: { Regex: '(x+x+)+y' }, content: '' }
  const token = { id: 1, content: 'x'.repeat(60), normalized: true }
  const hanging = { ...tinyTokenizer(), normalizer, added_tokens: [token] }
  writeFileSync(path.join(slow, 'tokenizer.json'), JSON.stringify(hanging))
  const fine = tinyTextModel(t, 'fine', CLASSIFIER)
  const server = await serve(t, [slow, fine], { workers: 1, loadTimeout: 4 })
  const [failed] = await failedModels(server)
  assert.match(failed?.reason ?? '', /took longer than 4 s/)
  assert.doesNotMatch(failed?.reason ?? '', /warm-up/)
  const body = '"cat"'
  const headers = { 'content-type': 'application/json' }
  const response = await server.fetch('/predictions/fine', { method: 'POST', body, headers })
  assert.equal(response.status, 200)
})
