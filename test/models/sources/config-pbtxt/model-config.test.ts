import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ServerError } from '../../../../src/errors.ts'
import {
  parseModelConfig,
  settingsOf,
} from '../../../../src/models/sources/config-pbtxt/model-config.ts'
import {
  TextSource,
  parseTextFormat,
} from '../../../../src/models/sources/config-pbtxt/protobuf-text.ts'
import type {
  TextMessage,
  TextValue,
} from '../../../../src/models/sources/config-pbtxt/protobuf-text.ts'
import { ownModels } from '../../../helpers/own-models.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'

/** Values without their kinds and places; messages become objects of lists. */
function plain(value: TextValue): unknown {
  if (value.kind !== 'message') return value.value
  return Object.fromEntries([...value.fields].map(([name, values]) => [name, values.map(plain)]))
}

function parse(text: string): TextMessage {
  return parseTextFormat(new TextSource('test.pbtxt', text))
}

function errorOf(run: () => unknown): ServerError {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof ServerError, String(error))
    assert.equal(error.type, 'InvalidModelException')
    return error
  }
  throw assert.fail('nothing was thrown')
}

/** Each folder's `config.pbtxt` is read, with its tensors. */
function assertConfigs(models: string, least: number): void {
  const folders = readdirSync(models).filter((name) =>
    existsSync(path.join(models, name, 'config.pbtxt')),
  )
  assert.ok(folders.length >= least)
  for (const folder of folders) {
    const config = parseModelConfig(readFileSync(path.join(models, folder, 'config.pbtxt'), 'utf8'))
    if (config.name !== undefined) assert.equal(config.name, folder)
    for (const tensor of [...config.input, ...config.output]) {
      assert.ok(tensor.name && tensor.data_type && tensor.dims.length > 0, folder)
    }
  }
}

test('every config.pbtxt of a repository parses', () => assertConfigs(ownModels(), 15))

testShared('every config.pbtxt of the shared models parses', {}, () =>
  assertConfigs(sharedPath('models'), 25),
)

test('a config is read with every field that onnxd uses', () => {
  const config = parseModelConfig(`
    # Comment with "quotes" and { brackets
    name: "digits" platform: "onnxruntime_onnx"; backend: 'onnxruntime',
    max_batch_size: 32
    default_model_filename: "net.onnx"
    input [ { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] format: FORMAT_NCHW } ]
    input { name: "mask" data_type: TYPE_BOOL dims: 1 dims: 4 optional: true }
    output: [ { name: "scores", data_type: TYPE_BF16, dims: [], label_filename: "labels.txt" }, < name: "other" > ]
    instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { kind: KIND_CPU } ]
    dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1500 }
    parameters { key: "a" value: { string_value: "1" } }
    parameters [ { key: "__proto__" value { string_value: "2" } } ]
    version_policy: { specific { versions: [ 1, 3 ] } }
    sequence_batching { oldest { max_candidate_sequences: 10 } }
    optimization < cuda < graphs: true > >
  `)
  assert.equal(config.name, 'digits')
  assert.equal(config.backend, 'onnxruntime')
  assert.equal(config.default_model_filename, 'net.onnx')
  assert.deepEqual(config.input, [
    {
      name: 'image',
      data_type: 'TYPE_FP32',
      dims: [3, -1, -1],
      format: 'FORMAT_NCHW',
      label_filename: undefined,
      optional: false,
    },
    {
      name: 'mask',
      data_type: 'TYPE_BOOL',
      dims: [1, 4],
      format: 'FORMAT_NONE',
      label_filename: undefined,
      optional: true,
    },
  ])
  assert.deepEqual(
    config.output.map(({ name, label_filename: labels, dims }) => [name, labels, dims]),
    [
      ['scores', 'labels.txt', []],
      ['other', undefined, []],
    ],
  )
  assert.deepEqual(config.instance_group, [
    { name: undefined, kind: 'KIND_GPU', count: 2, gpus: [0, 1] },
    { name: undefined, kind: 'KIND_CPU', count: undefined, gpus: [] },
  ])
  assert.deepEqual(
    [...config.parameters],
    [
      ['a', '1'],
      ['__proto__', '2'],
    ],
  )
  assert.deepEqual(config.version_policy, { specific: { versions: [1, 3] } })
  assert.deepEqual(settingsOf(config), {
    labels: 'labels.txt',
    maxBatchSize: 32,
    batchSize: 32,
    workers: 5,
    maxBatchDelay: 1.5,
  })
})

test('settings come only from fields that are there', () => {
  assert.deepEqual(settingsOf(parseModelConfig('')), {})
  assert.deepEqual(settingsOf(parseModelConfig('max_batch_size: 0')), {
    maxBatchSize: 0,
    batchSize: 1,
  })
  const joined = (word: string): string =>
    `parameters { key: "joinBatches" value { string_value: "${word}" } }`
  assert.deepEqual(settingsOf(parseModelConfig(joined('never'))), { joinBatches: 'never' })
  assert.throws(
    () => settingsOf(parseModelConfig(joined('often'))),
    /"joinBatches" must be one of auto, always, never, got "often"/,
  )
  assert.deepEqual(settingsOf(parseModelConfig('max_batch_size: 2147483647')), {
    maxBatchSize: 2_147_483_647,
    batchSize: 65_536,
  })
  assert.deepEqual(settingsOf(parseModelConfig('instance_group [{ kind: KIND_CPU }]')), {})
  assert.deepEqual(settingsOf(parseModelConfig('instance_group [{ count: 0 }]')), {})
  assert.deepEqual(settingsOf(parseModelConfig('instance_group { count: 1000 }')), { workers: 256 })
  assert.deepEqual(settingsOf(parseModelConfig('dynamic_batching {}')), { maxBatchDelay: 0 })
  assert.deepEqual(
    settingsOf(
      parseModelConfig('dynamic_batching { priority_levels: 1000 default_priority_level: 2 }'),
    ),
    { maxBatchDelay: 0, priorityLevels: 1000, defaultPriorityLevel: 2 },
  )
  assert.deepEqual(parseModelConfig('version_policy { latest {} }').version_policy, {
    latest: { num_versions: 1 },
  })
  assert.deepEqual(parseModelConfig('version_policy { all {} }').version_policy, { all: {} })
})

test('text format is read as protobuf defines it', () => {
  const cases: [text: string, value: unknown][] = [
    ['', {}],
    ['\uFEFF a: 1 # end', { a: [1] }],
    ['a: 1 a: 2, a: [3, 4];', { a: [1, 2, 3, 4] }],
    ['a: [] b [] c: {} d {} e <>', { a: [], b: [], c: [{}], d: [{}], e: [{}] }],
    ['a { b: < c { d: 1 } > }', { a: [{ b: [{ c: [{ d: [1] }] }] }] }],
    ['i: -7 h: 0x1F o: 017 z: 0 m: - 3', { i: [-7], h: [31], o: [15], z: [0], m: [-3] }],
    [
      'f: 1.5 g: .5 h: 1. i: 1e3 j: -2.5E-1f k: 3f l: inf m: -Infinity',
      { f: [1.5], g: [0.5], h: [1], i: [1000], j: [-0.25], k: [3], l: [Infinity], m: [-Infinity] },
    ],
    ['n: nan', { n: [Number.NaN] }],
    ['w: TYPE_FP32 t: true', { w: ['TYPE_FP32'], t: ['true'] }],
    [String.raw`s: "a\n\t\"\'\\\?\101\x41é\u00e9\U0001F600"`, { s: ['a\n\t"\'\\?AAéé😀'] }],
    [`s: "one" # comment\n 'two' "\\303\\251"`, { s: ['onetwoé'] }],
    [`s: "it's" t: 'say "x"'`, { s: ["it's"], t: ['say "x"'] }],
    [
      '[ext.field] { a: 1 } [type.googleapis.com/x] : {}',
      { '[ext.field]': [{ a: [1] }], '[type.googleapis.com/x]': [{}] },
    ],
    ['a:1 b:2', { a: [1], b: [2] }],
  ]
  for (const [text, value] of cases) assert.deepEqual(plain(parse(text)), value, text)
})

test('what is wrong in a text is named with its line and column', () => {
  const cases: [text: string, line: number, column: number, problem: RegExp][] = [
    ['a', 1, 2, /expected ":" or "\{", found the end/],
    ['a:', 1, 3, /expected a value, found the end/],
    ['a 1', 1, 3, /expected ":" or "\{", found "1"/],
    ['a [1]', 1, 4, /expected ":" or "\{"/],
    ['a: [1, 2', 1, 9, /expected "," or "\]"/],
    ['a: [[1]]', 1, 5, /expected a value, found "\["/],
    ['a: 1\nb: {\n  c: 2\n', 4, 1, /expected "\}", found the end/],
    ['a < b: 1 }', 1, 10, /expected a field name, found "\}"/],
    ['\n\n  }', 3, 3, /expected a field name/],
    ['a: "x\n"', 1, 6, /the string never ends/],
    ['a: "x', 1, 6, /the string never ends/],
    [String.raw`a: "\q"`, 1, 5, /unknown escape/],
    [String.raw`a: "\ud800"`, 1, 5, /unknown escape/],
    [String.raw`a: "\U00110000"`, 1, 5, /unknown escape/],
    [String.raw`a: "\377"`, 1, 4, /not valid UTF-8/],
    ['a: 12x', 1, 4, /invalid number/],
    ['a: 089', 1, 4, /invalid number/],
    ['a: 1.2.3', 1, 4, /invalid number/],
    ['a: -word', 1, 4, /"-word" is not a number/],
    ['a: @', 1, 4, /expected a value, found "@"/],
    ['é: 1', 1, 1, /expected a field name/],
    ['a {'.repeat(101), 1, 304, /nested deeper than 100/],
  ]
  for (const [text, line, column, problem] of cases) {
    const { message } = errorOf(() => parse(text))
    assert.match(message, problem, text)
    assert.ok(
      message.startsWith(`test.pbtxt is not valid: line ${line}, column ${column}: `),
      message,
    )
  }
  assert.match(
    errorOf(() => parse(`a: "${'x'.repeat(256 * 1024)}"`)).message,
    /larger than 256 KiB/,
  )
  assert.doesNotThrow(() => parse(`${'a {'.repeat(100)}${'}'.repeat(100)}`))
})

test('fields of the wrong type are refused where they stand', () => {
  const cases: [text: string, column: number, problem: RegExp][] = [
    ['name: digits', 7, /name must be a string in quotes/],
    ['name: "a" name: "b"', 17, /name occurs twice/],
    ['max_batch_size: 1.0', 17, /max_batch_size must be an integer from 0/],
    ['max_batch_size: -1', 17, /max_batch_size must be an integer from 0/],
    ['max_batch_size: 99999999999', 17, /max_batch_size must be an integer/],
    ['input: 3', 8, /input must be a message/],
    ['input { dims: "3" }', 15, /dims must be an integer/],
    ['input { dims: -2 }', 15, /dims must be an integer from -1/],
    ['input { data_type: FP32 }', 20, /data_type must be one of TYPE_BOOL/],
    ['input { data_type: "TYPE_FP32" }', 20, /data_type must be one of/],
    ['input { optional: maybe }', 19, /optional must be true or false/],
    ['instance_group { kind: KIND_TPU }', 24, /kind must be one of/],
    ['version_policy { latest { num_versions: 0 } }', 41, /num_versions must be an integer from 1/],
    [
      'dynamic_batching { priority_levels: 1001 }',
      37,
      /priority_levels must be an integer from 0 to 1000/,
    ],
    ['dynamic_batching {} dynamic_batching {}', 39, /occurs twice/],
  ]
  for (const [text, column, problem] of cases) {
    const { message } = errorOf(() => parseModelConfig(text))
    assert.match(message, problem, text)
    assert.match(
      message,
      new RegExp(`^config.pbtxt is not valid: line 1, column ${column}: `),
      text,
    )
  }
})

test('as much as is allowed of anything is read or refused at once', () => {
  const texts = [
    '\n',
    '#\n',
    'a:1 ',
    'a{',
    '"" ',
    'a: "" ""\n',
    '0',
    '[',
    '\\',
    'a:[',
    '-',
    ' ',
  ].map((piece) => piece.repeat(Math.floor((256 * 1024) / piece.length)))
  for (const text of [...texts, `a: ${'9'.repeat(250_000)}`, `a: "${'\\n'.repeat(125_000)}"`]) {
    const started = performance.now()
    try {
      parse(text)
    } catch (error) {
      assert.ok(error instanceof ServerError, String(error))
    }
    assert.ok(performance.now() - started < 15_000, JSON.stringify(text.slice(0, 10)))
  }
})
