/** How the page `/playground` shows responses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import type { Tensor } from '../../../src/pages/playground/model/description.ts'
import { paletteOf } from '../../../src/pages/playground/result/palette.ts'
import { remedyOf } from '../../../src/pages/playground/result/remedies.ts'
import { textParts } from '../../../src/pages/playground/result/spans.ts'
import { viewsOf } from '../../../src/pages/playground/result/views.ts'
import { shortNumber } from '../../../src/pages/playground/view/numbers.ts'

const output = (name: string, more: Partial<Tensor> = {}): Tensor => ({
  name,
  datatype: 'FP32',
  shape: [-1, 2],
  text: '',
  ...more,
})
const tensors = (text: string, ...outputs: Tensor[]) =>
  viewsOf(text, { form: { kind: 'tensors', acceptsCsv: false }, outputs }, undefined)
const image = (value: unknown) =>
  viewsOf(JSON.stringify(value), { form: { kind: 'image' }, outputs: [] }, undefined)
const text = (value: unknown, sent: unknown) =>
  viewsOf(JSON.stringify(value), { form: { kind: 'text', variants: [] }, outputs: [] }, sent)

test('probabilities become bars with the labels of another output', () => {
  const labels = output('label', { labels: ['a', 'b'] })
  const views = tensors('{"label":["b"],"p":[[0.25,0.75]]}', labels, output('p'))
  assert.deepEqual(views, [
    { kind: 'table', title: 'Outputs', columns: ['label'], rows: [['b']] },
    {
      kind: 'bars',
      title: 'p',
      bars: [
        { label: 'a', value: 0.25 },
        { label: 'b', value: 0.75 },
      ],
    },
  ])
})

test('a table keeps integers that are too large for JavaScript', () => {
  const [view] = tensors('{"x":[[9007199254740993,1],[2,-3]]}', output('x', { datatype: 'INT64' }))
  assert.deepEqual(view, {
    kind: 'table',
    title: 'Outputs',
    columns: ['x 0', 'x 1'],
    rows: [
      ['9007199254740993', '1'],
      ['2', '-3'],
    ],
  })
})

test('outputs of different lengths have tables of their own', () => {
  const views = tensors('{"x":[1,2],"y":[1,2,3]}', output('x'), output('y'))
  assert.deepEqual(
    views.map((view) => (view.kind === 'table' ? view.rows.length : view.kind)),
    [2, 3],
  )
})

test('classes with dimensions of size 1 behind them are bars; large tensors are vectors', () => {
  const [classes] = tensors('{"x":[[[[0.5]],[[0.5]]]]}', output('x'))
  assert.equal(classes?.kind, 'bars')
  const [few] = tensors(`{"x":[[${Array(12).fill(-2).join(',')}]]}`, output('x'))
  assert.ok(few?.kind === 'bars' && few.isOrdered === true)
  const [large] = tensors('{"x":[[[1,null],[3,4]],[[5,6],[7,8]]]}', output('x'))
  assert.deepEqual(large, {
    kind: 'vector',
    title: 'x [2,2,2]',
    values: [1, NaN, 3, 4, 5, 6, 7, 8],
  })
})

test('rows by label are bars', () => {
  const [view] = tensors('{"x":[{"a":0.1,"b":-3}]}', output('x'))
  assert.ok(view?.kind === 'bars')
  assert.deepEqual(view.bars[1], { label: 'b', value: -3 })
})

test('hostile names of outputs are only names', () => {
  const [view] = tensors('{"__proto__":[1]}', output('__proto__'))
  assert.deepEqual(view?.kind === 'table' && view.columns, ['__proto__'])
  assert.deepEqual(tensors('{"a":[1]}', output('constructor')), [])
})

test('images have classes, objects, areas or features', () => {
  const classes = [{ class: 'cat', index: 0, probability: 0.9 }]
  assert.deepEqual(image(classes), [
    { kind: 'bars', title: 'Classes', bars: [{ label: 'cat', value: 0.9 }] },
  ])
  assert.deepEqual(image([{ class: 'cat', index: 3, score: 0.5, box: [1, 2, 3, 4] }]), [
    { kind: 'detections', items: [{ label: 'cat', index: 3, score: 0.5, box: [1, 2, 3, 4] }] },
  ])
  assert.deepEqual(image([]), [{ kind: 'detections', items: [] }])
  assert.equal(image([0.5, 1])[0]?.kind, 'vector')
  const areas = { width: 2, height: 1, classes: [{ class: 'a', index: 1, share: 1 }], mask: 'AA==' }
  assert.equal(image(areas)[0]?.kind, 'mask')
})

test('texts have labels, spans, answers, ranks and vectors', () => {
  const spans = [{ entity_group: 'PER', score: 1, start: 0, end: 4 }]
  const [one] = text(spans, { inputs: 'Anna' })
  assert.ok(one?.kind === 'spans' && one.spans[0]?.label === 'PER')
  assert.deepEqual(text([], { inputs: 'Anna' }), [{ kind: 'spans', text: 'Anna', spans: [] }])
  const answer = { score: 0.5, start: 0, end: 4, answer: 'Anna' }
  assert.equal(text(answer, { question: 'Who?', context: 'Anna' })[0]?.kind, 'spans')
  const ranks = [{ index: 1, score: 0.5 }]
  const [rank] = text(ranks, { query: 'q', texts: ['a', 'b'] })
  assert.ok(rank?.kind === 'bars' && rank.bars[0]?.label === 'b')
  const both = [[{ label: 'x', score: 1 }], [{ label: 'y', score: 1 }]]
  assert.equal(text(both, { inputs: ['a', 'b'] }).length, 2)
  assert.equal(text([0.5, 1], { inputs: 'a' })[0]?.kind, 'vector')
})

test('a response that is not JSON has no view', () => {
  for (const response of ['', 'plain text', '{"x":']) assert.deepEqual(tensors(response), [])
})

test('spans count code points, and a span in another one is left out', () => {
  const span = (start: number, end: number) => ({ label: 'x', score: 1, start, end })
  const parts = textParts('😀 Anna in Rom', [span(10, 13), span(2, 6), span(3, 5), span(9, 99)])
  assert.deepEqual(
    parts.map(({ text: part, span: own }) => [part, own !== undefined]),
    [
      ['😀 ', false],
      ['Anna', true],
      [' in ', false],
      ['Rom', true],
    ],
  )
})

test('the colours of a mask are those of its palette', async () => {
  const png = await sharp(Buffer.from([0, 0, 0, 255, 64, 0]), {
    raw: { width: 2, height: 1, channels: 3 },
  })
    .png({ palette: true, colours: 4 })
    .toBuffer()
  assert.ok(paletteOf(png).includes('rgb(255 64 0)'), paletteOf(png).join())
  assert.deepEqual(paletteOf(png.subarray(0, 20)), [])
})

test('errors have a remedy by their type or status', () => {
  assert.match(remedyOf(413, 'PayloadTooLargeException') ?? '', /npy/)
  assert.match(remedyOf(0, '') ?? '', /running/)
  assert.equal(remedyOf(400, 'constructor'), undefined)
})

test('numbers have about four digits', () => {
  const numbers = [0, 0.99083, -0.00001, 12.3456, 1234.56, 3.5e9, NaN]
  assert.deepEqual(numbers.map(shortNumber), [
    '0',
    '0.9908',
    '-1.00e-5',
    '12.35',
    '1234.6',
    '3.50e+9',
    'null',
  ])
})
