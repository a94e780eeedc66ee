/** Text and missing numbers as inputs, and texts of errors that quote what a client sent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Datatype } from '../../../../../src/contract/datatypes.ts'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import { readParameters } from '../../../../../src/worker/process/custom/input.ts'
import { parseJson } from '../../../../../src/worker/process/custom/json-input.ts'
import { hasMoreNamesThan } from '../../../../../src/worker/process/custom/json-names.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import { quote } from '../../../../../src/worker/process/onnx/tensors/error-text.ts'
import type { WireHeader } from '../../../../../src/worker/wire/messages.ts'
import { answerOf, inferRequest, outputsOf } from '../../../../helpers/infer.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import type { Dimension } from '../../../../helpers/onnx-builder.ts'
import {
  ask,
  bodyRequest,
  loadModel,
  parameter,
  predict,
  problem,
} from '../../../../helpers/onnx-model.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

const V2: WireHeader = [DIALECT_HEADER, 'v2']
const V1: WireHeader = [DIALECT_HEADER, 'v1']
/** Names of one JSON, and the time to refuse them. Quadratic time would be half a minute. */
const NAMES = 250_000
const NAMES_MS = 500
const LIMITS = { maxJsonBytes: 64 * 1024 * 1024, maxJsonDepth: 100 }
/** Texts that look like something else. */
const TEXTS = [
  '"a film"',
  '["a", "b"]',
  '[1, 2',
  '"',
  '[',
  '{"name"} is missing',
  '{}',
  'null',
  '5',
  '  "x"\n',
  '',
  '{"other": ["a"]}',
]

async function identity(
  t: TestContext,
  type: Datatype,
  shape: readonly Dimension[] = ['n'],
): Promise<LoadedModel> {
  return loadModel(t, writeModelFolder(temporaryFolder(t), 'm', identityGraph({ type, shape })))
}

test('C6: text without a type stays text for an input of strings', async (t) => {
  const model = await identity(t, 'BYTES')
  const column = await identity(t, 'BYTES', ['n', 1])
  for (const text of TEXTS) {
    const requests = [
      { parameters: [parameter('x', text)] },
      { parameters: [parameter('x', text, 'text/plain')] },
      { parameters: [parameter('file.txt', text, 'text/plain')] },
      // A query value beside a body of no bytes.
      { parameters: [parameter('x', text), parameter('body', '')] },
      bodyRequest(text, 'text/plain'),
      bodyRequest(text, 'text/plain; charset=utf-8'),
    ]
    for (const request of requests) {
      assert.deepEqual(await ask(model, request), [200, { y: [text] }], JSON.stringify(request))
      assert.deepEqual(await ask(column, request), [200, { y: [[text]] }])
    }
  }
})

test('C6: what is declared as JSON, and objects of inputs from a browser, are JSON', async (t) => {
  const model = await identity(t, 'BYTES')
  const answer = [200, { y: ['a', 'b'] }]
  const list = parameter('x', '["a","b"]', 'application/json')
  assert.deepEqual(await ask(model, { parameters: [list] }), answer)
  assert.deepEqual(await ask(model, bodyRequest('["a","b"]')), answer)
  assert.deepEqual(await ask(model, bodyRequest('{"x":["a","b"]}', 'text/plain')), answer)
  const inputs = [{ name: 'x', datatype: 'BYTES', shape: [2], data: ['a', 'b'] }]
  const protocol = answerOf(
    await predict(model, bodyRequest(JSON.stringify({ inputs }), 'text/plain')),
  )
  assert.deepEqual(outputsOf(protocol)[0]?.data, ['a', 'b'])
  const numbers = await identity(t, 'FP32')
  assert.deepEqual(await ask(numbers, bodyRequest('[1,2]', 'text/plain')), [200, { y: [1, 2] }])
})

test('C6: a custom handler gets text as it was sent', () => {
  for (const text of TEXTS) {
    const parameters = [parameter('body', text, 'text/plain'), parameter('field', text)]
    const input = readParameters(
      { id: 'a', headers: [], parameters },
      { ...LIMITS, decodeInput: true },
    )
    assert.equal(input['body'], text)
    assert.deepEqual(input['field'], Buffer.from(text))
  }
})

test('C10: null is NaN for floats on every dialect, and refused for other types', async (t) => {
  for (const type of ['FP32', 'FP64', 'FP16'] as const) {
    const model = await identity(t, type, ['n', 3])
    const rows = [[0.5, null, 2]]
    const answer = [200, { y: rows }]
    assert.deepEqual(await ask(model, bodyRequest({ x: rows })), answer)
    assert.deepEqual(await ask(model, bodyRequest(rows)), answer)
    assert.deepEqual(await ask(model, { parameters: [parameter('x', '[0.5,null,2]')] }), answer)
    const v1 = await ask(model, bodyRequest({ instances: rows }, '', [V1]))
    assert.deepEqual(v1, [200, { predictions: rows }])
    if (type === 'FP16') continue
    const size = type === 'FP32' ? 4 : 8
    const { headers, body } = inferRequest({
      inputs: [{ name: 'x', datatype: type, shape: [1, 3], data: [0.5, null, 2] }],
      outputs: [{ name: 'y', parameters: { binary_data: true } }],
    })
    const request = { headers: [V2, ...headers], parameters: [parameter('body', body)] }
    const [output] = outputsOf(answerOf(await predict(model, request)))
    const bytes = output?.bytes?.subarray(size, 2 * size)
    const value = size === 4 ? bytes?.readFloatLE() : bytes?.readDoubleLE()
    assert.ok(Number.isNaN(value))
  }
  const cell = await identity(t, 'FP32', ['n', 1])
  assert.deepEqual(await ask(cell, bodyRequest({ x: null })), [200, { y: [[null]] }])
  for (const type of ['INT8', 'INT64', 'UINT32', 'BOOL', 'BYTES'] as const) {
    const model = await identity(t, type, ['n'])
    const pattern = /^400 .*element 0: null is not .*; null is only valid in float inputs/
    assert.match(await problem(model, bodyRequest({ x: [null] })), pattern)
    const inputs = [{ name: 'x', datatype: type, shape: [1], data: [null] }]
    const [status] = await ask(model, bodyRequest({ inputs }, '', [V2]))
    assert.equal(status, 400)
  }
  // As a whole it is no data, as before.
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: null }]
  assert.match(JSON.stringify(await ask(cell, bodyRequest({ inputs }, '', [V2]))), /neither/)
})

test('D8: no error quotes bytes that are no text', async (t) => {
  const seed = Number(process.env['SEED'] ?? 31)
  t.diagnostic(`SEED=${seed}`)
  const random = randomNumbers(seed)
  const model = await identity(t, 'FP32', ['n', 3])
  const texts = await identity(t, 'BYTES', ['n', 2])
  const starts = [
    '',
    '{',
    '[',
    '{"',
    '["',
    '{"x":',
    '{"inputs":[{"name":"',
    '[1,"',
    '{"instances":["',
  ]
  for (let turn = 0; turn < 500; turn++) {
    const junk = Buffer.from(
      Array.from({ length: random.integer(1, 60) }, () => random.integer(0, 255)),
    )
    const start = starts[random.integer(0, starts.length - 1)] ?? ''
    const body = Buffer.concat([Buffer.from(start), junk])
    const name = body.toString('utf8')
    const requests = [
      bodyRequest(body, 'application/json'),
      bodyRequest(body, ''),
      bodyRequest(body, name),
      bodyRequest(body, '', [V2]),
      bodyRequest(body, '', [V1]),
      bodyRequest('[]', 'application/octet-stream', [['Tensor-Shape', name]]),
      bodyRequest('[]', '', [['Content-Encoding', name]]),
      { parameters: [parameter(name, '1')] },
      { parameters: [parameter('x', body)] },
      { parameters: [parameter(name, body, name), parameter('b', body, 'image/png')] },
    ]
    for (const request of requests) {
      for (const one of [model, texts]) {
        const { status, body: answer } = await predict(one, request)
        if (status === 200) continue
        const { message, error } = JSON.parse(answer.toString())
        const text = String(message ?? error)
        assert.doesNotMatch(text, /[\p{Cc}\ufffd\u202e]/u, JSON.stringify(text))
        assert.ok(text.length < 700, text)
      }
    }
  }
})

test('D8: texts that are quoted can be read, and are short', () => {
  assert.equal(quote('größe 😀'), '"größe 😀"')
  assert.equal(quote('a\tb'), String.raw`"a\tb"`)
  assert.equal(quote('abc\u202edef'), String.raw`"abc\u{202e}def"`)
  assert.equal(quote('\x89PNG\r\n'), '(binary data)')
  assert.equal(quote('a\ufffdb'), '(binary data)')
  assert.equal(quote('😀'.repeat(100)), `"${'😀'.repeat(32)}…"`)
  assert.equal(quote(`x${'😀'.repeat(100)}`), `"x${'😀'.repeat(31)}…"`)
})

test('D8: the next step is named for a document in a form', async (t) => {
  const model = await identity(t, 'FP32')
  const form = { parameters: [parameter('doc', '%PDF-1.7', 'application/pdf')] }
  const text = await problem(model, form)
  assert.match(
    text,
    /^415 .*The part "doc" of the form has the unsupported type "application\/pdf"/,
  )
  assert.match(text, /Send JSON, raw bytes \(application\/octet-stream\) or a NumPy array file/)
  assert.doesNotMatch(text, /multipart/)
})

test('E17: very many different names are refused in little time, whatever they look like', async (t) => {
  const model = await identity(t, 'FP32')
  const names: ((index: number) => string)[] = [
    (index) => String(index),
    (index) => `k${index}`,
    (index) => String(index * 4096),
    (index) => [...index.toString(8)].map((digit) => '\\' + 'nrtbf"\\/'[Number(digit)]).join(''),
  ]
  for (const [kind, name] of names.entries()) {
    const members = Array.from({ length: NAMES }, (_, index) => `"${name(index)}":1`).join()
    const objects = `[${members
      .split(',')
      .map((member) => `{${member}}`)
      .join()}]`
    const v2: [string, WireHeader[]][] = [
      [`{${members}}`, [V2]],
      [`{"inputs":[{${members}}]}`, [V2]],
      [`{"inputs":[],"parameters":{${members}}}`, [V2]],
      [`{${members}}`, [V1]],
      [`{"instances":[{${members}}]}`, [V1]],
      [`{${members}}`, []],
      [`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"o":{${members}}}]}`, [V2]],
    ]
    for (const [text, headers] of kind < 2 ? v2 : []) {
      const request = bodyRequest(Buffer.from(text), '', headers)
      const took = await processorMs(() => predict(model, request))
      assert.ok(took < NAMES_MS, `${took} ms for ${text.slice(0, 40)}`)
    }
    for (const text of [`{${members}}`, objects]) {
      const bytes = Buffer.from(text)
      const took = await processorMs(() =>
        assert.throws(() => parseJson(bytes, LIMITS), /more than 65536 different member names/),
      )
      assert.ok(took < NAMES_MS, `${took} ms`)
    }
  }
})

test('E17: names are counted as what they are, strings and numbers are none', () => {
  const many = (count: number, make: (index: number) => string): Buffer =>
    Buffer.from(Array.from({ length: count }, (_, index) => make(index)).join())
  assert.equal(
    hasMoreNamesThan(
      many(1000, (index) => `"k${index}" \n: 1`),
      999,
    ),
    true,
  )
  assert.equal(
    hasMoreNamesThan(
      many(1000, (index) => `"k${index}":1`),
      1000,
    ),
    false,
  )
  assert.equal(
    hasMoreNamesThan(
      many(1000, (index) => `"k${index % 10}":1`),
      10,
    ),
    false,
  )
  assert.equal(
    hasMoreNamesThan(
      many(1000, (index) => `"a:${index}\\":"`),
      10,
    ),
    false,
  )
  assert.equal(
    hasMoreNamesThan(
      many(100, () => '"'),
      10,
    ),
    false,
  )
  assert.deepEqual(parseJson(Buffer.from('{"a":{"b":[1]}}'), LIMITS), { a: { b: [1] } })
})

/** Time that this process works, which others on the machine do not change. */
async function processorMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
