/** Damaged files of tokenizers end the load with a clear error, in little time. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Tokenizer as RustTokenizer } from 'tokenizers'
import { labelsOf, readTextFolder } from '../../../../src/worker/process/tasks/text-folder.ts'
import { Tokenizer } from '../../../../src/worker/process/tasks/tokenizer/tokenizer.ts'
import { failsWith } from '../../../helpers/pictures.ts'
import { randomNumbers, testSeed } from '../../../helpers/random.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import { tinyTokenizer } from '../../../helpers/text-models.ts'

/** A sequence of sequences. */
function nested(member: string, levels: number, inner: object): object {
  let part = inner
  for (let level = 0; level < levels; level++) part = { type: 'Sequence', [member]: [part] }
  return part
}

/** Each step doubles the letters a. */
const DOUBLING = {
  type: 'Sequence',
  normalizers: Array.from({ length: 60 }, () => ({
    type: 'Replace',
    pattern: { String: 'a' },
    content: 'aa',
  })),
}

test('parts with thousands of levels are refused, and a few levels are read', () => {
  const lowercase = { type: 'Lowercase' }
  for (const [name, part, pattern] of [
    ['normalizer', nested('normalizers', 20_000, lowercase), /its normalizer has too many levels/],
    ['pre_tokenizer', nested('pretokenizers', 20_000, {}), /its pre_tokenizer has too many levels/],
    ['post_processor', nested('processors', 20_000, {}), /its post_processor has too many levels/],
    ['decoder', nested('decoders', 20_000, {}), /its decoder has too many levels/],
  ] as const) {
    assert.throws(
      () => new Tokenizer({ ...tinyTokenizer(), [name]: part }),
      failsWith('InvalidModelException', pattern),
    )
  }
  const usual = new Tokenizer({
    ...tinyTokenizer(),
    normalizer: nested('normalizers', 10, lowercase),
  })
  assert.deepEqual(usual.encode('CAT').ids, usual.encode('cat').ids)
})

test('texts and tokens that grow without end are refused', () => {
  const file = { ...tinyTokenizer(), normalizer: DOUBLING }
  const token = { id: 1, content: 'cat', normalized: true }
  const long = { id: 1, content: 'x'.repeat(100_000), normalized: false }
  assert.throws(
    () => new Tokenizer({ ...file, added_tokens: [] }).encode('bat'),
    failsWith('PayloadTooLargeException', /more than 2000000 characters/),
  )
  assert.throws(
    () => new Tokenizer({ ...file, added_tokens: [token] }),
    failsWith('InvalidModelException', /the normalizer fails for an added token: .* 2000000/),
  )
  assert.throws(
    () => new Tokenizer({ ...tinyTokenizer(), added_tokens: [long] }),
    failsWith('InvalidModelException', /an added token has more than 1000 characters/),
  )
})

const seed = testSeed()
test(`thousands of added tokens are found as in the Rust tokenizers (ONNXD_TEST_SEED=${seed})`, async () => {
  const random = randomNumbers(seed)
  const isChosen = (oneOf: number): boolean => random.integer(1, oneOf) === 1
  const pick = (list: readonly string[]): string => list[random.integer(0, list.length - 1)] ?? ''
  const letters = Array.from('ab<>é😀 ')
  const word = (): string =>
    Array.from({ length: random.integer(1, 6) }, () => pick(letters)).join('')
  const contents = new Set(Array.from({ length: 20_000 }, (_, index) => `<tok${index}>`))
  for (let count = 0; count < 50; count++) contents.add(`<${word()}`)
  const list = [...contents]
  // The Rust tokenizers number them after the vocabulary.
  const { vocab } = tinyTokenizer()['model'] as { vocab: object }
  const first = Object.keys(vocab).length
  const added = list.map((content, index) => ({
    id: first + index,
    content,
    single_word: isChosen(4),
    lstrip: isChosen(4),
    rstrip: isChosen(4),
    normalized: false,
    special: false,
  }))
  const file = { ...tinyTokenizer(), added_tokens: added }
  const oracle = RustTokenizer.fromString(JSON.stringify(file))
  const own = new Tokenizer(file)
  for (let count = 0; count < 300; count++) {
    const parts = Array.from({ length: 8 }, () => (isChosen(2) ? word() : pick(list)))
    const text = parts.join('')
    const expected = await oracle.encode(text, null, { addSpecialTokens: false })
    assert.deepEqual(own.encode(text).ids, expected.getIds(), JSON.stringify(text))
  }
})

test('labels of config.json have no control characters', () => {
  const id2label = { 0: '\u001b[31mbad', 1: 'so\nso', 2: 'good' }
  assert.deepEqual(labelsOf({ id2label }), ['[31mbad', 'so so', 'good'])
})

test('errors name the file in a folder of the model', async (t) => {
  const folder = temporaryFolder(t)
  const write = (name: string, content: unknown): void => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(path.join(folder, name), JSON.stringify(content))
  }
  write('tokenizer.json', tinyTokenizer())
  write('config.json', { architectures: ['BertModel'] })
  writeFileSync(path.join(folder, '1_Pooling'), '')
  const files = {
    folder,
    settingsFolder: folder,
    onnxFile: undefined,
    manifest: undefined,
    settings: {},
  }
  await assert.rejects(
    readTextFolder(files, undefined),
    failsWith('InvalidModelException', /^1_Pooling\/config\.json cannot be read/),
  )
})
