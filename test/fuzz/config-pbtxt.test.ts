/** Texts of settings: `config.pbtxt`, `model.json` and `config.properties`, sound and damaged. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { decodeProperties, parseProperties } from '../../src/config/import/properties-text.ts'
import { describeImport, importProperties } from '../../src/config/import/properties.ts'
import { ConfigError, ServerError } from '../../src/errors.ts'
import { readModelFiles } from '../../src/model-folder/files.ts'
import { reportOf } from '../../src/models/sources/config-pbtxt/config-report.ts'
import {
  changesOf,
  checkBackend,
  parseModelConfig,
  settingsOf,
} from '../../src/models/sources/config-pbtxt/model-config.ts'
import { TextSource, parseTextFormat } from '../../src/models/sources/config-pbtxt/protobuf-text.ts'
import type { TextMessage, TextValue } from '../../src/models/sources/config-pbtxt/protobuf-text.ts'
import { reshapesOf } from '../../src/models/sources/config-pbtxt/tensor-reshapes.ts'
import { reportFigure } from '../faults/figures.ts'
import { size } from '../faults/harness.ts'
import { mutate } from '../helpers/mutate.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { attack, corpusOf, cpuMs, oneOf } from './campaign.ts'

const COUNT = size(3000, 1_000_000)
const BUDGET_MS = size(2000, 900_000)
const MET = 1_000_000
/** A text of a kilobyte takes less than a millisecond; what takes seconds is not linear. */
const SLOW_MS = 2000

const buffers = (texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text))

/** Fails for any error but those of `Expected`, and for what takes too long. */
function within(Expected: abstract new (...args: never[]) => Error, run: () => void): void {
  const startedAt = cpuMs()
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof Expected, error instanceof Error ? error.stack : String(error))
  }
  assert.ok(cpuMs() - startedAt < SLOW_MS, `${cpuMs() - startedAt} ms`)
}

const PBTXT = buffers([
  `name: "digits" platform: "onnxruntime_onnx"; backend: 'onnxruntime', max_batch_size: 32
   input [ { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] reshape { shape: [ 9 ] } } ]
   output { name: "y" data_type: TYPE_BF16 dims: 4 label_filename: "labels.txt" optional: true }`,
  `instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { kind: KIND_CPU } ]
   dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1500 }
   version_policy: { specific { versions: [ 1, 3 ] } } # comment
   parameters { key: "joinBatches" value: { string_value: "auto" } }`,
  String.raw`a: "\n\x41\101\u00e9\U0001F600" 'b' f: -1.5e3f g: inf h: 0x1F [ext.field] < c: .5 >`,
])
const PBTXT_WORDS = buffers([
  '{',
  '}',
  '[',
  ']',
  '<',
  '"',
  "'",
  '\\',
  ':',
  '-',
  '0x',
  '#',
  '\n',
  'é',
])

function checkPbtxt(bytes: Buffer): void {
  const text = bytes.toString('utf8')
  within(ServerError, () => {
    const config = parseModelConfig(text)
    const settings = settingsOf(config)
    reshapesOf(config)
    const report = reportOf(config.message, {
      from: 'config.pbtxt',
      settings,
      changes: changesOf(config),
    })
    JSON.stringify(report)
    checkBackend(config)
  })
}

test('damaged config.pbtxt is refused with line and column, or read', async (t) => {
  const mutant = (random: RandomNumbers): Buffer =>
    mutate(oneOf(PBTXT, random), random, { words: PBTXT_WORDS, other: oneOf(PBTXT, random) })
  const corpus = [...corpusOf('config-pbtxt'), ...PBTXT]
  const result = await attack({
    corpus,
    count: COUNT,
    budgetMs: BUDGET_MS,
    mutant,
    check: checkPbtxt,
  })
  reportFigure(t, {
    what: 'fuzz: config.pbtxt',
    goal: '≥ 10⁶, 0 crashes',
    seen: `${result.inputs}, 0 crashes, seed ${result.seed}`,
    isMet: result.inputs >= MET,
  })
})

/**
 * A value of the text format: text, number, word, or a message. A field of a message has one or
 * more values.
 */
type Plain = string | number | { readonly word: string } | { readonly fields: Fields }
type Fields = readonly (readonly [name: string, values: readonly Plain[]])[]

const identifier = fc.stringMatching(/^[A-Za-z_]\w{0,8}$/)
const word = identifier
  .filter((text) => !/^(?:inf|infinity|nan)f?$/i.test(text))
  .map((text): Plain => ({ word: text }))
const { message } = fc.letrec<{ message: Fields; value: Plain }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    word,
    tie('message').map((fields): Plain => ({ fields })),
  ),
  message: fc.uniqueArray(
    fc.tuple(identifier, fc.array(tie('value'), { minLength: 1, maxLength: 3 })),
    { maxLength: 4, selector: ([name]) => name },
  ),
}))

/** Writes a message; `style` chooses among the ways that the format has for the same. */
function written(fields: Fields, style: RandomNumbers): string {
  const pick = (...ways: readonly string[]): string => oneOf(ways, style)
  const scalar = (value: Plain): string => {
    if (typeof value === 'string') return quoted(value, style)
    if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
    if ('word' in value) return value.word
    const [open, close] = style.integer(0, 1) === 0 ? ['{', '}'] : ['<', '>']
    return `${open}${pick('', ' ', '\n')}${written(value.fields, style)}${close}`
  }
  return fields
    .map(([name, values]) => {
      const end = pick(' ', '\n', ', ', '; ', ' # comment { " \n')
      if (values.length > 1 && style.integer(0, 1) === 0)
        return `${name}: [ ${values.map(scalar).join(', ')} ]${end}`
      return values
        .map((value) => `${name}${pick(':', ' : ', ': #\n')}${scalar(value)}${end}`)
        .join('')
    })
    .join('')
}

/** A string in quotes, with escapes where they have to be and here and there besides. */
function quoted(text: string, style: RandomNumbers): string {
  const quote = style.integer(0, 1) === 0 ? '"' : "'"
  const characters = Array.from(text, (character) => {
    if (character === quote || character === '\\') return `\\${character}`
    if (character === '\n') return String.raw`\n`
    if (style.integer(0, 3) > 0) return character
    return Array.from(
      Buffer.from(character),
      (byte) => `\\${byte.toString(8).padStart(3, '0')}`,
    ).join('')
  })
  return `${quote}${characters.join('')}${quote}`
}

function read(value: TextValue): Plain {
  if (value.kind === 'message') return { fields: fieldsOf(value) }
  if (value.kind === 'word') return { word: value.value }
  return value.value
}

const fieldsOf = (text: TextMessage): Fields =>
  [...text.fields].map(([name, values]) => [name, values.map(read)] as const)

test('a text in the format of protobuf is read as what it was written from', async () => {
  const { randomNumbers } = await import('../helpers/random.ts')
  fc.assert(
    fc.property(message, fc.integer(), (fields, seed) => {
      const text = written(fields, randomNumbers(seed))
      assert.deepEqual(fieldsOf(parseTextFormat(new TextSource('x', text))), fields, text)
    }),
    { numRuns: size(500, 20_000) },
  )
})

const MODEL_JSON = buffers([
  '{"handler":"onnx","model":"model.onnx","version":"1","labels":"labels.txt","topK":5}',
  '{"image":{"width":8,"layout":"NCHW","mean":[0.5],"std":[1]},"workers":2,"maxBatchDelay":"auto"}',
  '{"batchSize":4,"threads":1,"providers":["cpu"],"warmUp":false,"idempotent":null}',
])
const JSON_WORDS = buffers([
  '{',
  '[',
  '"__proto__":',
  'null',
  '1e999',
  '"',
  '\\ud800',
  '"model":"../x"',
  ',',
])

test('damaged model.json is refused, or read', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(path.join(folder, 'model.onnx'), 'x')
  const check = async (bytes: Buffer): Promise<void> => {
    writeFileSync(path.join(folder, 'model.json'), bytes)
    const startedAt = cpuMs()
    const failure = await readModelFiles(folder).then(
      ({ onnxFile }) => assert.ok(onnxFile === undefined || onnxFile.startsWith(folder)),
      (error: unknown) => error,
    )
    if (failure !== undefined) assert.ok(failure instanceof ServerError, inspect(failure))
    assert.ok(cpuMs() - startedAt < SLOW_MS)
  }
  await attack({
    corpus: [...corpusOf('model-json'), ...MODEL_JSON],
    count: size(400, 100_000),
    budgetMs: size(1000, 40_000),
    mutant: (random) => mutate(oneOf(MODEL_JSON, random), random, { words: JSON_WORDS }),
    check,
  })
  assert.equal(Object.keys(Object.prototype).length, 0)
})

const PROPERTIES = buffers([
  'inference_address=http://127.0.0.1:8080\nmanagement_address : https://[::1]:8443\nmodel_store=/m\n',
  'load_models=a=b.mar,c.mar\\\n  ,d.mar\ndefault_workers_per_model 4\nnumber_of_gpu=1\n# x\n!y\n',
  'models={"a":{"1.0":{"marName":"a.mar","minWorkers":1,"batchSize":4,"maxBatchDelay":100}}}\n',
  'enable_envvars_config=true\nmax_request_size=655350\nkeystore_pass=\\u0041bc\nvmargs=-Xmx$$HOME$$\n',
])
const PROPERTY_WORDS = buffers([
  '\\',
  '\\u',
  '=',
  ':',
  '\r',
  '\n',
  '$$HOME$$',
  '$$NONE$$',
  '__proto__=',
  '{',
])

test('damaged config.properties is refused as a mistake of the file, or read', async () => {
  const environment = { HOME: '/home', MMS_JOB_QUEUE_SIZE: '7', TS_MODEL_STORE: 'x' }
  await attack({
    corpus: [...corpusOf('config-properties'), ...PROPERTIES],
    count: size(2000, 1_000_000),
    budgetMs: size(1000, 40_000),
    mutant: (random) => mutate(oneOf(PROPERTIES, random), random, { words: PROPERTY_WORDS }),
    check: (bytes) =>
      within(ConfigError, () => {
        describeImport(importProperties(decodeProperties(bytes), environment))
      }),
  })
})

test('properties are read as what they were written from', () => {
  const escaped = (text: string): string =>
    Array.from(text, (character) =>
      /^[a-z0-9]$/i.test(character)
        ? character
        : Array.from(
            { length: character.length },
            (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
          ).join(''),
    ).join('')
  const pairs = fc.uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.string()), {
    selector: ([key]) => key,
  })
  fc.assert(
    fc.property(pairs, fc.constantFrom('=', ':', ' ', ' = ', '\t:'), (entries, between) => {
      const text = entries.map(([key, value]) => `${escaped(key)}${between}${escaped(value)}`)
      assert.deepEqual([...parseProperties(text.join('\n'))], entries)
    }),
    { numRuns: size(300, 20_000) },
  )
})
