import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, realpathSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import {
  labelsOfPython,
  impliedLabels,
} from '../../../../../src/worker/process/onnx/labels/implied-labels.ts'
import {
  LabelError,
  parseLabels,
} from '../../../../../src/worker/process/onnx/labels/label-file.ts'
import { readLabels } from '../../../../../src/worker/process/onnx/labels/labels.ts'
import { field, model as encodeModel } from '../../../../helpers/onnx-fields.ts'
import { failsWith } from '../../../../helpers/pictures.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

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

test('files without labels, or with thousands of levels, are refused', () => {
  const nested = `${'{"names":'.repeat(50_000)}1${'}'.repeat(50_000)}`
  for (const [text, isJson, pattern] of [
    ['', false, /^is empty$/],
    ['\uFEFF \r\n\n', false, /^is empty$/],
    ['', true, /^is empty$/],
    [nested, true, /^has too many levels$/],
    [`${'['.repeat(50_000)}${']'.repeat(50_000)}`, true, /^has no label for class "0"$/],
  ] as const) {
    assert.throws(
      () => parseLabels(text, isJson),
      (error) => error instanceof LabelError && pattern.test(error.message),
    )
  }
  assert.deepEqual(parseLabels('cat\rbig dog\reel\r', false), wanted)
})

test('a label file is read only if it is a small regular file inside the root', async (t) => {
  const parent = realpathSync(temporaryFolder(t))
  const folder = path.join(parent, 'model')
  mkdirSync(path.join(folder, 'folder.txt'), { recursive: true })
  writeFileSync(path.join(parent, 'secret.txt'), 'a\nb\n')
  writeFileSync(path.join(parent, 'secret.json'), '{"id2label": {"0": "a", "1": "b"}}')
  symlinkSync('../secret.txt', path.join(folder, 'link.txt'))
  execFileSync('mkfifo', [path.join(folder, 'fifo.txt')])
  writeFileSync(path.join(folder, 'large.txt'), '')
  truncateSync(path.join(folder, 'large.txt'), 2 ** 30)
  const files = { folder, settingsFolder: folder, onnxFile: undefined, manifest: undefined }
  for (const [name, pattern] of [
    ['folder.txt', /"?folder.txt"? is not a file/],
    ['fifo.txt', /fifo.txt is not a file/],
    ['link.txt', /points outside the model store/],
    ['large.txt', /larger than 8 MiB/],
  ] as const) {
    const reading = readLabels({ ...files, settings: { labels: name } }, '', folder)
    await assert.rejects(reading, failsWith('InvalidModelException', pattern), name)
  }

  // Files of other programs that cannot be read do not end the load; the log says why.
  const lines = t.mock.method(console, 'log', () => undefined)
  const config = path.join(folder, 'config.json')
  for (const [write, pattern] of [
    [() => symlinkSync('../secret.json', config), /points outside the model store/],
    [() => execFileSync('mkfifo', [config]), /config.json is not a file/],
    [() => writeFileSync(config, '{'), /cannot be read as JSON/],
    [() => writeFileSync(config, '{"id2label": {"0": "a", "7": "b"}}'), /class numbers 0 to 1/],
    [() => writeFileSync(config, `{"id2label": ${'{"names":'.repeat(5000)}1}`), /read as JSON/],
  ] as const) {
    rmSync(config, { force: true })
    lines.mock.resetCalls()
    write()
    assert.equal(await readLabels({ ...files, settings: {} }, '', folder), undefined)
    assert.match(String(lines.mock.calls[0]?.arguments[0]), pattern)
  }
})

test('control characters of labels become spaces, and letters of all languages stay', () => {
  const odd = ['\u001b[31mred\u001b[0m', 'a\nb\r\n\tc', '\u202eleft\u2028x\u009b1m', '\0']
  const shown = ['[31mred [0m', 'a b c', 'left x 1m', '']
  assert.deepEqual(parseLabels(JSON.stringify(odd), true), shown)
  assert.deepEqual(parseLabels(JSON.stringify({ ...odd }), true), shown)
  assert.deepEqual(parseLabels('\u001b[31mred\nb\u0007c\n', false), ['[31mred', 'b c'])
  const letters = ['猫', 'می\u200cخواهم', '👩\u200d🚀', ' é', 'שלום\u200f']
  assert.deepEqual(parseLabels(JSON.stringify(letters), true), letters)
})
