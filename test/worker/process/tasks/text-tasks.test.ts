import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { load, one, softmax, tiny } from '../../../helpers/ask-model.ts'
import type { Ask } from '../../../helpers/ask-model.ts'
import { tinyTextModel, tinyTokenizer, weightsOf } from '../../../helpers/text-models.ts'
import type { TinyModel } from '../../../helpers/text-models.ts'

type Scored = { readonly label: string; readonly score: number }

const IDS = (tinyTokenizer()['model'] as { vocab: Record<string, number> }).vocab

async function refusal(ask: Ask, body: unknown): Promise<[number, string]> {
  const [answer] = await ask(body)
  assert.ok(answer !== undefined)
  return [answer.status, (answer.body as { message: string }).message]
}

function close(actual: unknown, expected: number): void {
  assert.ok(Math.abs(Number(actual) - expected) < 1e-5, `${String(actual)} is not ${expected}`)
}

/** The sum of the rows of tokens, plus the type of each, as the pooled graph computes it. */
function logits(tokens: readonly string[], width: number, second = tokens.length): number[] {
  const table = weightsOf(width)
  return Array.from({ length: width }, (_, column) =>
    tokens.reduce(
      (sum, token, index) =>
        sum + (table[(IDS[token] ?? 0) * width + column] ?? 0) + (index >= second ? 1 : 0),
      0,
    ),
  )
}

const CLASSES = ['bad', 'so so', 'good']
const CLASSIFIER: TinyModel = {
  suffix: 'ForSequenceClassification',
  labels: CLASSES,
  graph: 'pooled',
  width: 3,
}

test('text classification gives the probabilities of all labels, the best first', async (t) => {
  const ask = await tiny(t, CLASSIFIER)
  const expected = softmax(logits(['[CLS]', 'good', 'cat', '[SEP]'], 3))
  const scores = (await one(ask, 'Good CAT')) as readonly Scored[]
  assert.deepEqual(scores.map(({ label }) => label).toSorted(), CLASSES.toSorted())
  for (const { label, score } of scores) close(score, expected[CLASSES.indexOf(label)] ?? 0)
  assert.ok((scores[0]?.score ?? 0) >= (scores[1]?.score ?? 1))

  const list = (await one(ask, ['good cat', 'bad dog'])) as readonly (readonly Scored[])[]
  assert.deepEqual(list[0], scores)
  assert.deepEqual(list[1], await one(ask, { inputs: 'bad dog', parameters: { top_k: 3 } }))
  const best = (await one(ask, { inputs: 'good cat', top_k: 1 })) as readonly Scored[]
  assert.deepEqual(best, [scores[0]])
  assert.deepEqual(await one(ask, { text: 'good cat' }), scores)
})

test('a pair of texts has the types of its tokens', async (t) => {
  const ask = await tiny(t, CLASSIFIER)
  const tokens = ['[CLS]', 'cat', '[SEP]', 'dog', '[SEP]']
  const expected = logits(tokens, 3, 3)
  const body = { inputs: [['cat', 'dog']], raw_scores: true }
  const [scores] = (await one(ask, body)) as readonly (readonly Scored[])[]
  for (const { label, score } of scores ?? []) close(score, expected[CLASSES.indexOf(label)] ?? 0)
  assert.deepEqual(
    await one(ask, { text: 'cat', text_pair: 'dog', function_to_apply: 'none' }),
    scores,
  )
})

test('a model with several labels for a text gives each its own probability', async (t) => {
  const config = { problem_type: 'multi_label_classification' }
  const ask = await tiny(t, { ...CLASSIFIER, config })
  const expected = logits(['[CLS]', 'fish', '[SEP]'], 3).map((value) => 1 / (1 + Math.exp(-value)))
  for (const { label, score } of (await one(ask, 'fish')) as readonly Scored[]) {
    close(score, expected[CLASSES.indexOf(label)] ?? 0)
  }
})

test('a model with a label of entailment chooses among labels of the request', async (t) => {
  const labels = ['contradiction', 'neutral', 'entailment']
  const ask = await tiny(t, { ...CLASSIFIER, labels })
  const body = { inputs: 'cat', candidate_labels: ['good', 'bad'], hypothesis_template: 'this {}' }
  const entailments = ['good', 'bad'].map(
    (label) => logits(['[CLS]', 'cat', '[SEP]', 'this', label, '[SEP]'], 3, 3)[2] ?? 0,
  )
  const expected = softmax(entailments)
  const result = (await one(ask, body)) as { labels: string[]; scores: number[]; sequence: string }
  assert.equal(result.sequence, 'cat')
  for (const [index, label] of result.labels.entries()) {
    close(result.scores[index], expected[label === 'good' ? 0 : 1] ?? 0)
  }
  const several = (await one(ask, { ...body, multi_label: true })) as typeof result
  const good = logits(['[CLS]', 'cat', '[SEP]', 'this', 'good', '[SEP]'], 3, 3)
  close(
    several.scores[several.labels.indexOf('good')],
    softmax([good[0] ?? 0, good[2] ?? 0])[1] ?? 0,
  )
})

test('a model with one label ranks texts for a query', async (t) => {
  const ask = await tiny(t, { ...CLASSIFIER, labels: ['LABEL_0'], width: 1 })
  const texts = ['the cat sat', 'london', 'bob and anna']
  const body = { query: 'where is bob ?', texts, return_text: true }
  const ranks = (await one(ask, body)) as { index: number; score: number; text: string }[]
  assert.deepEqual(
    ranks.map(({ index }) => index).toSorted((a, b) => a - b),
    [0, 1, 2],
  )
  for (const { index, score, text } of ranks) {
    assert.equal(text, texts[index])
    const tokens = ['[CLS]', 'where', 'is', 'bob', '?', '[SEP]', ...text.split(' '), '[SEP]']
    close(score, 1 / (1 + Math.exp(-(logits(tokens, 1, 6)[0] ?? 0))))
  }
  assert.ok(ranks.every(({ score }, index) => score <= (ranks[index - 1]?.score ?? 1)))
})

const POOLING = (mode: string): Readonly<Record<string, unknown>> => ({
  'modules.json': [
    { type: 'sentence_transformers.models.Transformer' },
    { type: 'sentence_transformers.models.Pooling' },
  ],
  '1_Pooling/config.json': { [`pooling_mode_${mode}`]: true },
  'config_sentence_transformers.json': { prompts: { query: 'what is ' } },
})

test('embeddings are pooled as the folder says', async (t) => {
  const tokens = ['[CLS]', 'cat', 'dog', '[SEP]']
  const rows = tokens.map((token) => logits([token], 4))
  const column = (index: number): number[] => rows.map((row) => row[index] ?? 0)
  const poolings: Readonly<Record<string, (index: number) => number>> = {
    cls_token: (index) => rows[0]?.[index] ?? 0,
    mean_tokens: (index) => column(index).reduce((sum, value) => sum + value, 0) / 4,
    max_tokens: (index) => Math.max(...column(index)),
    lasttoken: (index) => rows[3]?.[index] ?? 0,
  }
  for (const [mode, expected] of Object.entries(poolings)) {
    const files = POOLING(mode)
    const ask = await tiny(t, { suffix: 'Model', graph: 'hidden', width: 4, files })
    // In company of a longer text, so that there is padding.
    const body = ['cat dog', 'the cat sat on the mat']
    const [vector] = (await one(ask, body)) as readonly (readonly number[])[]
    for (const [index, value] of (vector ?? []).entries()) close(value, expected(index))
    assert.deepEqual(await one(ask, 'cat dog'), vector, 'alone and in company')
  }
})

test('embeddings have the form that the request asks for', async (t) => {
  const files = POOLING('mean_tokens')
  const ask = await tiny(t, { suffix: 'Model', graph: 'hidden', width: 16, files })
  const vector = (await one(ask, 'anna')) as number[]
  const base64 = (await one(ask, { inputs: 'anna', encoding_format: 'base64' })) as string
  const bytes = Buffer.from(base64, 'base64')
  assert.deepEqual(
    vector.map(Math.fround),
    vector.map((_, index) => bytes.readFloatLE(index * 4)),
  )
  const unit = (await one(ask, { inputs: 'anna', normalize: true, dimensions: 4 })) as number[]
  close(Math.hypot(...unit), 1)
  const length = Math.hypot(...vector.slice(0, 4))
  for (const [index, value] of unit.entries()) close(value, (vector[index] ?? 0) / length)
  const bits = (await one(ask, { inputs: 'anna', encoding_format: 'ubinary' })) as number[]
  assert.deepEqual(
    vector.map((value) => value > 0),
    vector.map((_, index) => (((bits[index >> 3] ?? 0) >> (7 - (index & 7))) & 1) === 1),
  )
  assert.deepEqual(
    await one(ask, { inputs: 'anna', prompt_name: 'query' }),
    await one(ask, 'what is anna'),
  )
  const body = { source_sentence: 'anna', sentences: ['anna', 'bob'], normalize: true }
  const [same, other] = (await one(ask, body)) as number[]
  close(same, 1)
  assert.ok(Number(other) < 1)
})

test('fill-mask gives the most probable tokens of a masked place', async (t) => {
  const ask = await tiny(t, { suffix: 'ForMaskedLM', graph: 'tokens', width: 60 })
  const expected = softmax(logits(['[MASK]'], 60))
  const [best, ...others] = (await one(ask, 'the [MASK] sat')) as {
    token: number
    score: number
    token_str: string
    sequence: string
  }[]
  assert.equal(others.length, 4)
  close(best?.score, Math.max(...expected))
  close(expected[best?.token ?? 0], Math.max(...expected))
  const targets = (await one(ask, { inputs: '[MASK]', targets: ['cat', 'dog'] })) as typeof others
  assert.deepEqual(targets.map(({ token_str: token }) => token).toSorted(), ['cat', 'dog'])
  assert.deepEqual(targets.map(({ sequence }) => sequence).toSorted(), ['cat', 'dog'])
  const [two] = (await one(ask, ['[MASK] and [MASK]'])) as unknown[][]
  assert.equal(two?.length, 2)
  assert.match((await refusal(ask, 'no mask'))[1], /\[MASK\]/)
})

test('a folder of the layout with model.onnx on top, and one that names its file', async (t) => {
  const [top] = await (await tiny(t, { ...CLASSIFIER, file: 'model.onnx' }))('cat')
  const [nested] = await (await tiny(t, CLASSIFIER))('cat')
  assert.deepEqual(top, nested)
  const folder = tinyTextModel(t, 'named', { ...CLASSIFIER, file: 'onnx/model_int8.onnx' })
  writeFileSync(path.join(folder, 'onnx', 'model_fp16.onnx'), 'not the one')
  await assert.rejects(load(t, folder), /no \.onnx file/)
  writeFileSync(path.join(folder, 'model.json'), '{"model": "onnx/model_int8.onnx"}')
  assert.deepEqual((await (await load(t, folder))('cat'))[0], nested)
})

test('a request is answered alike alone and in company', async (t) => {
  const bodies = ['cat', ['dog sat', 'fish'], { inputs: 'x'.repeat(500) }, 'the cat sat on a mat']
  const folder = tinyTextModel(t, 'apart', CLASSIFIER)
  writeFileSync(path.join(folder, 'model.json'), '{"joinBatches": "never"}')
  const apart = await load(t, folder)
  const alone = await Promise.all(bodies.map(async (body) => (await apart(body))[0]))
  assert.deepEqual(await apart(...bodies), alone, 'requests that share no runs')

  // A longer run adds numbers in another order.
  const round = (answers: unknown): unknown =>
    JSON.parse(JSON.stringify(answers), (_, value: unknown) =>
      typeof value === 'number' ? Number(value.toPrecision(5)) : value,
    )
  const together = await (await tiny(t, CLASSIFIER))(...bodies)
  assert.deepEqual(round(together), round(alone))
})

test('texts that are too long are rejected with the count, or cut', async (t) => {
  const ask = await tiny(t, CLASSIFIER)
  const long = 'cat '.repeat(100)
  const [status, message] = await refusal(ask, long)
  assert.equal(status, 413)
  assert.match(message, /102 tokens.*at most 64/)
  const cut = await one(ask, { inputs: long, truncate: true })
  assert.deepEqual(cut, await one(ask, 'cat '.repeat(62)))
  const ends = `${long}dog`
  for (const [truncation_direction, kept] of [
    ['right', 'cat '.repeat(62)],
    ['Right', 'cat '.repeat(62)],
    ['left', `${'cat '.repeat(61)}dog`],
    ['Left', `${'cat '.repeat(61)}dog`],
  ]) {
    const answer = await one(ask, { inputs: ends, truncate: true, truncation_direction })
    assert.deepEqual(answer, await one(ask, kept), truncation_direction)
  }
})

test('requests that are wrong get 4xx with the reason, in bounded time', async (t) => {
  const ask = await tiny(t, CLASSIFIER)
  const cases: readonly (readonly [body: unknown, status: number, message: RegExp])[] = [
    [{ inputs: 'cat', top_k: -1 }, 400, /top_k/],
    [{ inputs: 'cat', topk: 1 }, 400, /"topk" is unknown.*top_k/],
    [{ inputs: 7 }, 400, /inputs/],
    [{ inputs: 'cat', truncation_direction: 'up' }, 400, /truncation_direction.*"left"/],
    [{ inputs: ['a', 7] }, 400, /inputs\[1\]/],
    [{ parameters: [] }, 400, /parameters/],
    [{}, 400, /inputs/],
    [null, 400, /inputs/],
    [Array.from({ length: 10_000 }, () => 'cat'), 413, /10000 texts.*2048/],
    [Buffer.from('"\\ud800"'), 400, /surrogate/],
    [Buffer.from([0x22, 0xff, 0x22]), 400, /UTF-8/],
    [Buffer.from('{"inputs": '), 400, /JSON/],
    ['x'.repeat(3_000_000), 413, /characters/],
    [{ inputs: 'cat', candidate_labels: ['a'] }, 400, /entailment/],
    [{ query: 'cat', texts: ['a'] }, 400, /rank/],
  ]
  for (const [body, status, message] of cases) {
    const startedAt = performance.now()
    const [actual, text] = await refusal(ask, body)
    assert.deepEqual([actual, message.test(text)], [status, true], text)
    assert.ok(performance.now() - startedAt < 5000, 'in bounded time')
  }
  // One word of 200 000 letters is one unknown token.
  assert.equal(((await one(ask, 'x'.repeat(200_000))) as unknown[]).length, 3)
})

test('a tokenizer with an unknown part ends the load with its name', async (t) => {
  const parts: readonly (readonly [change: object, message: RegExp])[] = [
    [{ normalizer: { type: 'Nmt' } }, /normalizer "Nmt"/],
    [{ pre_tokenizer: { type: 'UnicodeScripts' } }, /pre-tokenizer "UnicodeScripts"/],
    [{ post_processor: { type: 'Other' } }, /post-processor "Other"/],
    [{ model: { type: 'Neural' } }, /model "Neural"/],
    [{ decoder: { type: 'Other' } }, /decoder "Other"/],
    [
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '(?>a+)b' }, behavior: 'Isolated' } },
      /expression/,
    ],
    [{ model: { type: 'WordPiece', vocab: { a: -1 } } }, /valid id/],
  ]
  for (const [change, message] of parts) {
    const folder = tinyTextModel(t, 'odd', CLASSIFIER)
    writeFileSync(
      path.join(folder, 'tokenizer.json'),
      JSON.stringify({ ...tinyTokenizer(), ...change }),
    )
    await assert.rejects(load(t, folder), message)
  }
})
