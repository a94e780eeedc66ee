import assert from 'node:assert/strict'
import { test } from 'node:test'
import { one, softmax, tiny } from '../../../helpers/ask-model.ts'
import { tinyTokenizer, weightsOf } from '../../../helpers/text-models.ts'

interface Span {
  readonly entity?: string
  readonly entity_group?: string
  readonly score: number
  readonly word: string
  readonly text?: string
  readonly start: number
  readonly end: number
}

const IDS = (tinyTokenizer()['model'] as { vocab: Record<string, number> }).vocab
const LABELS = ['O', 'B-PER', 'I-PER', 'E-PER', 'S-LOC']

/** The label with the highest score for a token, and its probability. */
function labelOf(token: string): readonly [string, number] {
  const width = LABELS.length
  const start = (IDS[token] ?? 0) * width
  const scores = softmax(weightsOf(width).slice(start, start + width))
  const best = scores.indexOf(Math.max(...scores))
  return [LABELS[best] ?? '', scores[best] ?? 0]
}

test('each token has its label, its score and its place in the text', async (t) => {
  const labels = LABELS
  const ask = await tiny(t, {
    suffix: 'ForTokenClassification',
    labels,
    graph: 'tokens',
    width: LABELS.length,
  })
  const text = '\u{1f600} Anna, AND bobx'
  const body = { inputs: text, aggregation_strategy: 'none', ignore_labels: [] }
  const spans = (await one(ask, body)) as readonly Span[]
  const chars = Array.from(text)
  assert.deepEqual(
    spans.map(({ word, start, end }) => [word, chars.slice(start, end).join('')]),
    [
      ['\u{1f600}', '\u{1f600}'],
      ['anna', 'Anna'],
      [',', ','],
      ['and', 'AND'],
      ['bob', 'bob'],
      ['##x', 'x'],
    ],
  )
  for (const { word, entity, score } of spans.slice(1)) {
    const [label, expected] = labelOf(word)
    assert.equal(entity, label)
    assert.ok(Math.abs(score - expected) < 1e-5)
  }
  const words = (await one(ask, { ...body, aggregation_strategy: 'first' })) as readonly Span[]
  assert.ok(words.every((span) => span.text === chars.slice(span.start, span.end).join('')))
  assert.equal(words.at(-1)?.end, chars.length, 'the last word has all of its tokens')
})

test('BIOES labels begin and end spans', async (t) => {
  const words = Object.keys(IDS).filter((token) => /^[a-z]+$/.test(token))
  const withLabel = (label: string): string =>
    words.find((word) => labelOf(word)[0] === label) ?? assert.fail(`no word for ${label}`)
  const [begin, inside, end, single, outside] = [
    withLabel('B-PER'),
    withLabel('I-PER'),
    withLabel('E-PER'),
    withLabel('S-LOC'),
    withLabel('O'),
  ]
  const ask = await tiny(t, {
    suffix: 'ForTokenClassification',
    labels: LABELS,
    graph: 'tokens',
    width: LABELS.length,
  })
  const text = [begin, inside, end, inside, outside, single, single, begin, begin].join(' ')
  const spans = (await one(ask, text)) as readonly Span[]
  assert.deepEqual(
    spans.map(({ entity_group: group, text: own }) => [group, own]),
    [
      ['PER', `${begin} ${inside} ${end}`],
      ['PER', inside],
      ['LOC', single],
      ['LOC', single],
      ['PER', begin],
      ['PER', begin],
    ],
  )
})

test('an answer is a part of the context, also of one that needs several windows', async (t) => {
  const ask = await tiny(t, { suffix: 'ForQuestionAnswering', graph: 'spans', width: 2 })
  const context = 'The cat lives in Paris, and the dog in \u{1f600} London. '.repeat(12)
  const question = { question: 'Where is the cat?', context }
  const answer = (await one(ask, question)) as Span & { answer: string }
  const chars = Array.from(context)
  assert.equal(answer.answer, chars.slice(answer.start, answer.end).join(''))
  assert.ok(answer.answer !== '' && answer.score > 0)
  const several = (await one(ask, { ...question, top_k: 5 })) as (typeof answer)[]
  assert.equal(several.length, 5)
  assert.deepEqual(several[0]?.answer, answer.answer)
  assert.ok(several.every(({ score }, index) => score <= (several[index - 1]?.score ?? 99)))
  assert.deepEqual(await one(ask, { inputs: [question] }), [answer])
  const body = {
    question: 'who?',
    context: 'Bob sat.',
    handle_impossible_answer: true,
    top_k: 50,
  }
  const withNull = (await one(ask, body)) as (typeof answer)[]
  assert.ok(
    withNull.some(({ answer: text, start, end }) => text === '' && start === 0 && end === 0),
  )
  const [refused] = await ask({ question: 'who '.repeat(70), context })
  assert.equal(refused?.status, 413)
})
