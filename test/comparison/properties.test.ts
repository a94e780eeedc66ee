/** Properties of the comparison for any responses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compareResponses } from '../../src/comparison/compare.ts'
import type { ComparedResponse } from '../../src/comparison/compare.ts'
import { testSeed } from '../helpers/random.ts'
import { binary, json, response } from './responses.ts'

const seed = testSeed()
const check = <T>(
  arbitrary: fc.Arbitrary<T>,
  predicate: (value: T) => void,
  numRuns = 200,
): void => {
  fc.assert(fc.property(arbitrary, predicate), { seed, numRuns })
}

const TYPES = [
  'application/json',
  'application/octet-stream',
  'application/grpc',
  'application/x-npy',
  'application/x-ndjson',
  'text/csv',
  'text/plain',
  'image/png',
  '',
]

/** Numbers with all special values. */
const number = fc.oneof(fc.float({ noNaN: false }), fc.constantFrom(0, -0, NaN, Infinity, 1, 0.5))

const anyResponse: fc.Arbitrary<ComparedResponse> = fc
  .record({
    type: fc.constantFrom(...TYPES),
    body: fc.oneof(
      fc.json(),
      fc.string(),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    ),
    headers: fc.subarray([
      ['content-encoding', 'gzip'],
      ['inference-header-content-length', '7'],
      ['tensor-datatype', 'FP32'],
      ['tensor-shape', '2,2'],
    ] as [string, string][]),
  })
  .map(({ type, body, headers }) => response(type, body, headers))

/** A JSON value as models return it. */
const tree = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    number.filter(Number.isFinite),
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 }),
    fc.record({ label: fc.string(), score: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({
      label: fc.constantFrom('a', 'b'),
      score: fc.double({ min: 0, max: 1, noNaN: true }),
      box: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 4, maxLength: 4 }),
    }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 5 }), tie('value'), { maxKeys: 4 }),
  ),
})).value

test(`a response agrees with itself, whatever it is (seed ${seed})`, () => {
  check(anyResponse, (one) => {
    assert.equal(compareResponses(one, { ...one, body: Buffer.from(one.body) }).agrees, true)
  })
  // Written differently, so that the bytes are not the same.
  check(tree, (value) => {
    const spaced = response('application/json', JSON.stringify(value, undefined, 1))
    const found = compareResponses(json(value), spaced)
    assert.equal(found.agrees, true, found.reason)
    assert.ok(found.outputs.every(({ difference }) => difference <= 1e-9))
  })
})

test(`no two responses make it throw, and their order does not change the verdict (seed ${seed})`, () => {
  const both = (one: ComparedResponse, other: ComparedResponse): void => {
    const [found, turned] = [compareResponses(one, other), compareResponses(other, one)]
    assert.equal(found.agrees, turned.agrees, `${found.reason} ${turned.reason}`)
    assert.equal(found.reason === undefined, found.agrees)
    for (const { difference } of found.outputs) assert.ok(difference >= 0 && difference <= 1)
    JSON.stringify(found)
  }
  check(fc.tuple(anyResponse, anyResponse), ([one, other]) => both(one, other), 400)
  check(fc.tuple(tree, tree), ([one, other]) => both(json(one), json(other)), 400)
})

test(`tensors of any size and value: a NaN agrees with a NaN only (seed ${seed})`, () => {
  const of = (values: readonly number[], version: string): ComparedResponse =>
    binary(
      { name: 'y', datatype: 'FP32', shape: [values.length] },
      Buffer.from(Float32Array.from(values).buffer),
      version,
    )
  check(fc.array(number, { maxLength: 20 }), (values) => {
    assert.equal(compareResponses(of(values, '1'), of(values, '2')).agrees, true)
    const negated = values.map((value) => (value === 0 ? -value : value))
    assert.equal(compareResponses(of(values, '1'), of(negated, '2')).agrees, true)
  })
  check(
    fc.tuple(
      fc.array(number, { minLength: 1, maxLength: 20 }),
      fc.nat(),
      fc.constantFrom(NaN, Infinity),
    ),
    ([values, place, wrong]) => {
      const index = place % values.length
      if (Object.is(values[index], wrong)) return
      assert.equal(
        compareResponses(of(values, '1'), of(values.with(index, wrong), '2')).agrees,
        false,
      )
      assert.equal(compareResponses(of(values, '1'), of([...values, 1], '2')).agrees, false)
    },
  )
})

test(`the order of labels with equal scores does not matter (seed ${seed})`, () => {
  const labels = fc.uniqueArray(fc.string({ maxLength: 3 }), { minLength: 2, maxLength: 8 })
  check(fc.tuple(labels, fc.double({ min: 0, max: 1, noNaN: true })), ([names, score]) => {
    const list = names.map((label) => ({ label, score }))
    const found = compareResponses(json(list), json(list.toReversed()))
    assert.equal(found.agrees, true, found.reason)
  })
})

test('large responses take time in proportion to their size', () => {
  const count = 40_000
  const row = Array.from({ length: count }, (_, index) => index / 7)
  const deep = JSON.stringify(Array.from({ length: count / 10 }, (_, id) => ({ id, y: id / 3 })))
  const boxes = Array.from({ length: 3000 }, (_, at) => ({
    label: 'a',
    score: 0.5,
    box: [at, 0, at + 1, 1],
  }))
  const text = JSON.stringify(`${'\\"'.repeat(count)}1234567890123456`)
  const startedAt = performance.now()
  for (const [one, other] of [
    [JSON.stringify({ y: row }), JSON.stringify({ y: row.with(5, -1) })],
    [deep, deep.replace('"id":7,', '"id":8,')],
    [JSON.stringify(boxes), JSON.stringify(boxes.toReversed())],
    [text, text.replace('123', '124')],
    ['['.repeat(count), '[ '.repeat(count)],
    [
      JSON.stringify(Object.fromEntries(row.entries())),
      JSON.stringify(Object.fromEntries(row.with(0, 9).entries())),
    ],
  ] as const) {
    const found = compareResponses(
      response('application/json', one),
      response('application/json', other),
    )
    assert.ok(found.outputs.length <= 100)
  }
  // A quadratic algorithm would take minutes.
  assert.ok(performance.now() - startedAt < 20_000)
})
