import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import {
  MAX_CANDIDATES,
  Shortlist,
  overlap,
  suppress,
} from '../../../../../src/worker/process/onnx/vision/detection/nms.ts'
import type {
  ScoredBox,
  SuppressionRules,
} from '../../../../../src/worker/process/onnx/vision/detection/nms.ts'
import { modelBytes, node } from '../../../../helpers/onnx-builder.ts'
import { testSeed } from '../../../../helpers/random.ts'

const seed = testSeed()

interface Vector {
  readonly iou: number
  readonly perClass: boolean
  readonly boxes: readonly ScoredBox['box'][]
  readonly scores: readonly number[]
  readonly classes: readonly number[]
  readonly kept: readonly number[]
}

/** Numbers of the boxes that `suppress` chooses, after the sort of `Shortlist`. */
function chosen(boxes: readonly ScoredBox[], rules: SuppressionRules): readonly number[] {
  const list = new Shortlist(0)
  for (const [index, { score }] of boxes.entries()) list.add(index, score)
  const sorted = list.sorted().flatMap(({ number }) => boxes.slice(number, number + 1))
  return suppress(sorted, rules).map((box) => boxes.indexOf(box))
}

test('the same boxes are chosen as by torchvision, also at the limit and with equal scores', () => {
  const file = path.resolve('test/vectors/detections.json')
  const { suppressions }: { suppressions: readonly Vector[] } = JSON.parse(
    readFileSync(file, 'utf8'),
  )
  assert.equal(suppressions.length, 16)
  for (const { iou, perClass, boxes, scores, classes, kept } of suppressions) {
    const all = boxes.map((box, index) => ({
      box,
      score: scores[index] ?? 0,
      classIndex: classes[index] ?? 0,
    }))
    assert.deepEqual(
      chosen(all, { iou, perClass, maxDetections: 1000 }),
      kept,
      `${iou} ${perClass}`,
    )
    const first = kept.slice(0, 3)
    assert.deepEqual(chosen(all, { iou, perClass, maxDetections: 3 }), first)
  }
})

/** Boxes on a grid, so that many are equal, touch, or overlap by exactly the limit. */
const boxes = fc.array(
  fc
    .tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom(0.25, 0.5, 0.75, 1),
      fc.integer({ min: 0, max: 2 }),
    )
    .map(([x, y, width, height, score, classIndex]): ScoredBox => ({
      box: [x, y, x + width, y + height],
      score,
      classIndex,
    })),
  { maxLength: 40 },
)
const limits = fc.constantFrom(0, 0.2, 0.25, 0.45, 0.5, 0.75, 1)

/** All pairs are compared: a box stays if no better box that stays overlaps it. */
function reference(all: readonly ScoredBox[], { iou, perClass }: SuppressionRules): number[] {
  const order = [...all.keys()].toSorted(
    (a, b) => (all[b]?.score ?? 0) - (all[a]?.score ?? 0) || a - b,
  )
  const stays = new Map<number, boolean>()
  for (const index of order) {
    const own = all[index]
    const isFree = order.slice(0, order.indexOf(index)).every((better) => {
      const other = all[better]
      if (own === undefined || other === undefined || stays.get(better) !== true) return true
      if (perClass && own.classIndex !== other.classIndex) return true
      return intersectionOverUnion(own.box, other.box) <= iou
    })
    stays.set(index, isFree)
  }
  return order.filter((index) => stays.get(index))
}

/** Counts the cells of the grid. */
function intersectionOverUnion(a: ScoredBox['box'], b: ScoredBox['box']): number {
  const cells = ([x1, y1, x2, y2]: ScoredBox['box']): Set<number> => {
    const found = new Set<number>()
    for (let x = x1; x < x2; x++) for (let y = y1; y < y2; y++) found.add(x * 100 + y)
    return found
  }
  const [first, second] = [cells(a), cells(b)]
  const common = [...first].filter((cell) => second.has(cell)).length
  return Math.fround(common / (first.size + second.size - common))
}

test(`suppression chooses what a comparison of all pairs chooses, ONNXD_TEST_SEED=${seed}`, () => {
  const property = fc.property(boxes, limits, fc.boolean(), (all, iou, perClass) => {
    const rules = { iou, perClass, maxDetections: 1000 }
    assert.deepEqual(chosen(all, rules), reference(all, rules))
  })
  fc.assert(property, { seed, numRuns: 300 })
})

test(`onnxruntime's NonMaxSuppression chooses the same boxes, ONNXD_TEST_SEED=${seed}`, async () => {
  const session = await InferenceSession.create(
    modelBytes({
      inputs: [
        { name: 'boxes', type: 'FP32', shape: [1, 'n', 4] },
        { name: 'scores', type: 'FP32', shape: [1, 'c', 'n'] },
        { name: 'most', type: 'INT64', shape: [1] },
        { name: 'iou', type: 'FP32', shape: [1] },
      ],
      outputs: [{ name: 'selected', type: 'INT64', shape: ['k', 3] }],
      nodes: [node('NonMaxSuppression', ['boxes', 'scores', 'most', 'iou'], 'selected')],
    }),
  )
  const property = fc.asyncProperty(boxes, limits, async (all, iou) => {
    fc.pre(all.length > 0)
    // Scores differ, because the operator does not define the order of equal ones.
    const distinct = all.map((box, index) => ({ ...box, score: box.score + index / 1024 }))
    const scores = [0, 1, 2].flatMap((one) =>
      distinct.map(({ classIndex, score }) => (classIndex === one ? score : -1)),
    )
    const { selected } = await session.run({
      boxes: new Tensor('float32', Float32Array.from(all.flatMap(({ box }) => box)), [
        1,
        all.length,
        4,
      ]),
      scores: new Tensor('float32', Float32Array.from(scores), [1, 3, all.length]),
      most: new Tensor('int64', BigInt64Array.of(1000n), [1]),
      iou: new Tensor('float32', Float32Array.of(iou), [1]),
    })
    const found = Array.from(selected?.data ?? [], Number)
    // [image, class, box] of each; the scores of other classes are negative.
    const wanted = found
      .flatMap((box, at) => (at % 3 === 2 ? [[found[at - 1] ?? 0, box] as const] : []))
      .filter(([one, box]) => distinct[box]?.classIndex === one)
      .map(([, box]) => box)
    const own = chosen(distinct, { iou: Math.fround(iou), perClass: true, maxDetections: 1000 })
    assert.deepEqual([...own].toSorted(), wanted.toSorted())
  })
  await fc.assert(property, { seed, numRuns: 100 })
  await session.release()
})

test('the shortlist has the best candidates of many, in order, whatever order they come in', () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }),
    fc.integer({ min: 1, max: 12 }),
    (scores, limit) => {
      const list = new Shortlist(5, limit)
      for (const [number, score] of scores.entries()) list.add(number, score)
      const wanted = scores
        .map((score, number) => ({ number, score }))
        .filter(({ score }) => score > 5)
        .toSorted((a, b) => b.score - a.score || a.number - b.number)
      assert.deepEqual(list.sorted(), wanted.slice(0, limit))
    },
  )
  fc.assert(property, { seed, numRuns: 300 })
})

test('scores that are not finite are never candidates', () => {
  const list = new Shortlist(0)
  for (const [number, score] of [NaN, Infinity, -Infinity, 1e300, -1, 1e-300].entries())
    list.add(number, score)
  assert.deepEqual(list.sorted(), [{ number: 5, score: 1e-300 }])
})

test('many rising scores are cut to the limit in bounded time and memory', () => {
  const list = new Shortlist(0)
  const started = performance.now()
  for (let number = 1; number <= 300_000; number++) list.add(number, number)
  const sorted = list.sorted()
  assert.equal(sorted.length, MAX_CANDIDATES)
  assert.equal(sorted[0]?.number, 300_000)
  assert.ok(performance.now() - started < 20_000)
})

test('boxes of extreme sizes overlap by a number from 0 to 1, or by NaN', () => {
  const extremes = [-1e300, -1, 0, 1e-40, 1, 3e38, 1e300]
  for (const a of extremes) {
    for (const b of extremes.filter((one) => one > a)) {
      const one = { box: [a, a, b, b], score: 1, classIndex: 0 } as const
      const both = overlap(one, { ...one, box: [0, 0, 1, 1] })
      assert.ok(Number.isNaN(both) || (both >= 0 && both <= 1), `${a} ${b}: ${both}`)
    }
  }
})
