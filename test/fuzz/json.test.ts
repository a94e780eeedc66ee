/**
 * Every JSON reader, with texts that are JSON, nearly JSON, or something else, compared with
 * `JSON.parse`.
 */
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ServerError } from '../../src/errors.ts'
import { checkPythonInput } from '../../src/models/workers/python-input.ts'
import { parseRequestJson } from '../../src/request-json.ts'
import { jsonMembers } from '../../src/routes/http/json-object.ts'
import { parseJson } from '../../src/worker/process/custom/json-input.ts'
import { size } from '../faults/harness.ts'
import { randomNumbers } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { Mutator, checkFuzz, corpus, pick } from './fuzz.ts'
import { MAX_DEPTH, readRequest, readTexts, readValue } from './json-readers.ts'
import { randomRequest, randomTensorText } from './json-texts.ts'

const CORPUS = corpus<string>('json').map((text) => Buffer.from(text))
/** What JSON is made of, and what is nearly JSON. */
const TOKENS: readonly (string | Buffer)[] = [
  '[]{}",:0123456789-+.eE \n\t\\/u'.split(''),
  'null true false NaN Infinity -Infinity -0 1e999 1e-999 0.1 9007199254740993'.split(' '),
  '9223372036854775807 -9223372036854775808 18446744073709551615'.split(' '),
  '340282356779733661637539395458142568448 [[ ]] ],[ "__proto__" "FP32" "f32" "i64"'.split(' '),
  '"inputs" "data" "shape" "name" "datatype" "instances"'.split(' '),
  String.raw`\u0000 \ud800 \ud83d\ude00 \u005f`.split(' '),
  ['\ufeff', '\u2028', 'ü', '\0'],
  ['ff', 'c0af', 'eda080', 'e282'].map((hex) => Buffer.from(hex, 'hex')),
].flat()

/** Runs a reader: its result, or `undefined` for an error that a client may see. */
function attempt<Result>(text: Buffer, read: () => Result): { result: Result } | undefined {
  try {
    return { result: read() }
  } catch (error) {
    if (error instanceof ServerError && error.statusCode >= 400 && error.statusCode < 500)
      return undefined
    throw new Error(`${String(error)} for ${shown(text)}`, { cause: error })
  }
}

function shown(text: Buffer): string {
  return isUtf8(text) ? JSON.stringify(text.toString()) : `bytes ${text.toString('hex')}`
}

/** What JSON.parse makes of the bytes; `undefined` where it refuses them or they are not UTF-8. */
function reference(text: Buffer): { value: unknown } | undefined {
  if (!isUtf8(text)) return undefined
  try {
    return { value: JSON.parse(text.toString()) as unknown }
  } catch {
    return undefined
  }
}

/** Deep equality that tells -0 from 0; `assert.deepStrictEqual` takes several times as long. */
function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null)
    return Object.is(one, other)
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every(
    (key) => Object.hasOwn(other, key) && isSame(Reflect.get(one, key), Reflect.get(other, key)),
  )
}

function assertSame(found: unknown, expected: unknown, text: Buffer, what: string): void {
  if (!isSame(found, expected))
    assert.deepEqual(found, expected, new Error(`${what}: ${shown(text)}`))
}

/** Words that Python writes and JSON has not, half surrogates and byte order marks. */
const LENIENT = /NaN|Infinity/
const STRICTER = /\\u[dD][89a-fA-F]|^\ufeff/

/** The own reader takes what JSON.parse takes, and makes the same of it. */
function checkReader(text: Buffer): void {
  const expected = reference(text)
  const found = attempt(text, () => readValue(text))
  const plain = text.toString()
  if (found === undefined) {
    const isAllowed = expected === undefined || STRICTER.test(plain) || depthOf(plain) > MAX_DEPTH
    assert.ok(isAllowed, `refused: ${shown(text)}`)
  } else if (expected === undefined) assert.match(plain, LENIENT, `accepted: ${shown(text)}`)
  else assertSame(found.result, expected.value, text, 'the reader')
}

/** More than the real depth where texts have brackets, which only lets more pass. */
function depthOf(text: string): number {
  return text.split(/[[{]/).length - 1
}

/** The readers that call JSON.parse themselves, after their own checks. */
function checkParsers(text: Buffer): void {
  const expected = reference(text)
  const plain = text.toString()
  const limits = { maxJsonBytes: 1 << 20, maxJsonDepth: MAX_DEPTH }
  const isDeep = depthOf(plain) > MAX_DEPTH
  for (const [what, read] of [
    ['parseJson', () => parseJson(text, limits)],
    ['parseRequestJson', () => parseRequestJson(plain, 'it')],
  ] as const) {
    if (what === 'parseRequestJson' && !isUtf8(text)) continue
    const found = attempt(text, read)
    if (found === undefined)
      assert.ok(expected === undefined || isDeep, `${what} refused ${shown(text)}`)
    else assertSame(found.result, expected?.value, text, what)
  }
  const parameter = { name: 'body', contentType: 'application/json', value: text }
  const passed = attempt(text, () => checkPythonInput([parameter]))
  if (passed === undefined)
    assert.ok(expected === undefined || depthOf(plain) > 500 || /\d{4000}/.test(plain), shown(text))
  else if (expected === undefined) assert.match(plain, LENIENT, `for Python: ${shown(text)}`)
}

/** Members of a flat object of parameters, each as it is written. */
function checkMembers(text: Buffer): void {
  if (!isUtf8(text)) return
  const plain = text.toString()
  const found = attempt(text, () => jsonMembers(plain))
  const expected = reference(Buffer.from(plain.replace(/^\ufeff/, '')))
  const value = expected?.value
  const isObject = typeof value === 'object' && !Array.isArray(value)
  if (found === undefined)
    assert.ok(!isObject || depthOf(plain) > MAX_DEPTH, `refused: ${shown(text)}`)
  else if (expected === undefined) assert.equal(plain.trim(), '', shown(text))
  else if (value === null) assert.deepEqual(found.result, [])
  else {
    const read = Object.create(null) as Record<string, unknown>
    for (const { name, written, text: own } of found.result) {
      read[name] = JSON.parse(written)
      if (typeof read[name] === 'string') assert.equal(own, read[name], shown(text))
    }
    // A null takes a member away, and of a name that stands twice the last counts.
    for (const [name, each] of Object.entries(value as object))
      if (each !== null) assertSame(read[name], each, text, `member ${name}`)
    for (const name of Object.keys(read))
      assert.ok(Object.hasOwn(value as object, name), shown(text))
  }
}

const CHECKS = [checkReader, checkParsers, checkMembers]

function run(random: RandomNumbers, count: number): number {
  // Most texts end in an error, whose stack would take most of the time.
  Error.stackTraceLimit = 0
  const mutator = new Mutator(random, TOKENS)
  const kind = random.integer(0, 3)
  const bases = [
    ...CORPUS,
    ...Array.from({ length: 100 }, () => Buffer.from(randomRequest(random))),
  ]
  for (let tried = 0; tried < count; tried++) {
    const text =
      kind === 3
        ? mutator.mutate(Buffer.from(randomTensorText(random)), pick(random, CORPUS), 2)
        : mutator.mutate(pick(random, bases), pick(random, bases))
    if (kind === 0) pick(random, CHECKS)(text)
    else if (kind === 3) readTexts(random, text, attempt)
    else readRequest(random, text, attempt)
  }
  return count
}

test('the texts of the corpus, by every reader', () => {
  for (const text of CORPUS) {
    for (const check of CHECKS) check(text)
    for (let seed = 0; seed < 40; seed++) {
      readTexts(randomNumbers(seed), text, attempt)
      readRequest(randomNumbers(seed), text, attempt)
    }
  }
})

test('what is JSON is read as JSON.parse reads it', () => {
  const examples = CORPUS.filter((text) => reference(text) !== undefined).map((text): [string] => [
    text.toString(),
  ])
  const property = fc.property(fc.oneof(fc.json(), fc.json({ stringUnit: 'binary' })), (text) => {
    for (const check of CHECKS) check(Buffer.from(text))
  })
  fc.assert(property, { numRuns: size(500, 100_000), examples })
})

test('no text makes a reader of JSON crash, or take a number for another', async (t) => {
  await checkFuzz(t, {
    what: 'fuzz: JSON',
    goal: '≥ 10⁷, 0 crashes',
    total: size(8000, 10_000_000),
    perRun: size(2000, 20_000),
    run,
  })
})
