import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import {
  labelsOfPython,
  impliedLabels,
} from '../../../../src/worker/process/onnx/implied-labels.ts'
import { LabelError, parseLabels } from '../../../../src/worker/process/onnx/label-file.ts'
import { field, model as encodeModel } from '../../../helpers/onnx-fields.ts'
import { temporaryFolder } from '../../../helpers/server.ts'

const wanted = ['cat', 'big dog', 'eel']

test('lines may have class numbers in any usual form and order', () => {
  for (const separator of [' ', '\t', ': ', ':', ',', ', ', ';', ' = ', '   ']) {
    const lines = wanted.map((label, index) => `${index}${separator}${label}`)
    assert.deepEqual(parseLabels(`${lines.join('\n')}\n`, false), wanted, separator)
    assert.deepEqual(parseLabels(lines.toReversed().join('\r\n'), false), wanted, separator)
  }
  assert.deepEqual(parseLabels('00 cat\n01 big dog\n02 eel', false), wanted)
})

test('lines that only look as if they had class numbers are labels as they are', () => {
  for (const lines of [
    ['0', '1', '2'],
    ['1 euro', '2 euros', '5 euros'],
    ['0 cat', 'dog', '2 eel'],
    ['0 cat', '0 dog'],
    ['3D printer', '4x4'],
    ['n01440764 tench', 'n01443537 goldfish'],
  ]) {
    assert.deepEqual(parseLabels(lines.join('\n'), false), lines)
  }
})

test('JSON may be a list, an object in either direction, a list of objects, or nested', () => {
  const forms: unknown[] = [
    wanted,
    { 2: 'eel', 0: 'cat', 1: 'big dog' },
    { eel: 2, cat: 0, 'big dog': 1 },
    { 0: ['n01', 'cat'], 1: ['n02', 'big dog'], 2: ['n03', 'eel'] },
    [{ name: 'cat' }, { name: 'big dog' }, { name: 'eel' }],
    [
      { id: 2, name: 'eel', supercategory: 'fish' },
      { id: 0, name: 'cat' },
      { id: 1, name: 'big dog' },
    ],
    [
      { id: '1', label: 'big dog' },
      { id: '0', label: 'cat' },
      { id: '2', label: 'eel' },
    ],
    { 0: { name: 'cat' }, 1: { name: 'big dog' }, 2: { name: 'eel' } },
    { model_type: 'vit', id2label: { 0: 'cat', 1: 'big dog', 2: 'eel' } },
    { label2id: { eel: 2, cat: 0, 'big dog': 1 } },
    { nc: 3, names: wanted },
    { labels: wanted },
  ]
  for (const form of forms) {
    assert.deepEqual(
      parseLabels(`\uFEFF${JSON.stringify(form)}`, true),
      wanted,
      JSON.stringify(form),
    )
  }
})

test('JSON without a label for each class number is rejected', () => {
  const refused: [unknown, RegExp][] = [
    [{ cat: 0, dog: 2 }, /the class numbers 0 to 1/],
    [{ cat: 0, dog: 0 }, /the class numbers 0 to 1/],
    [{ cat: 0.5 }, /the class numbers 0 to 0/],
    [{ cat: 0, dog: '1' }, /no label for class "cat"/],
    [[{ id: 1, name: 'cat' }], /the class numbers 0 to 0/],
    [[{ id: 0 }], /no label for class "0"/],
    [['cat', null], /no label for class "1"/],
    [{ id2label: { 1: 'cat' } }, /the class numbers 0 to 0/],
    [7, /neither a list nor an object/],
  ]
  for (const [form, pattern] of refused) {
    assert.throws(
      () => parseLabels(JSON.stringify(form), true),
      (error) => error instanceof LabelError && pattern.test(error.message),
      JSON.stringify(form),
    )
  }
})

test('names of a Python dictionary or list are read', () => {
  assert.deepEqual(labelsOfPython(`{0: 'cat', 1: "big dog", 2: 'eel'}`), wanted)
  assert.deepEqual(labelsOfPython(`['cat', "big dog", 'eel']`), wanted)
  assert.deepEqual(labelsOfPython(`{0: "potter's wheel", 1: 'it\\'s', 2: '1: x'}`), [
    "potter's wheel",
    "it's",
    '1: x',
  ])
  assert.equal(labelsOfPython('{}'), undefined)
})

test('without a label file, config.json comes first, then the metadata of the model', async (t) => {
  const folder = temporaryFolder(t)
  const onnxFile = path.join(folder, 'model.onnx')
  const entry = (key: string, value: string): Buffer =>
    field(14, Buffer.concat([field(1, key), field(2, value)]))
  const config = (value: unknown): void =>
    writeFileSync(
      path.join(folder, 'config.json'),
      typeof value === 'string' ? value : JSON.stringify(value),
    )
  const write = (...entries: readonly Buffer[]): void =>
    writeFileSync(onnxFile, encodeModel(field(2, 'graph'), Buffer.concat(entries)))
  const read = (): Promise<readonly string[] | undefined> => impliedLabels({ folder, onnxFile })

  write(entry('stride', '32'))
  assert.equal(await read(), undefined)
  write(entry('stride', '32'), entry('names', `{0: 'a', 1: 'b'}`))
  assert.deepEqual(await read(), ['a', 'b'])
  config({ id2label: { 0: 'cat', 1: 'big dog', 2: 'eel' } })
  assert.deepEqual(await read(), wanted)
  config({ label2id: { cat: 0, 'big dog': 1, eel: 2 } })
  assert.deepEqual(await read(), wanted)
  // Files that are meant for other programs, or say nothing.
  for (const other of ['{', '[]', 'null', { id2label: [1] }, { id2label: { 1: 'x' } }, {}]) {
    config(other)
    assert.deepEqual(await read(), ['a', 'b'], JSON.stringify(other))
  }
  config({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } })
  assert.equal(await read(), undefined)
  write(entry('names', 'person'))
  config('{')
  assert.equal(await read(), undefined)
  writeFileSync(onnxFile, Buffer.from('not a model'))
  assert.equal(await read(), undefined)
  const empty = path.join(folder, 'empty')
  mkdirSync(path.join(empty, 'config.json'), { recursive: true })
  assert.equal(await impliedLabels({ folder: empty, onnxFile: undefined }), undefined)
})
