import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { compareResponses } from '../../src/comparison/compare.ts'
import type { Comparison, ComparedResponse, Tolerance } from '../../src/comparison/compare.ts'
import { binary, json, protocol, response } from './responses.ts'

const compare = (
  one: ComparedResponse,
  other: ComparedResponse,
  tolerance?: Tolerance,
): Comparison => compareResponses(one, other, { tolerance })

/** Name, rule and verdict of each output. */
const verdicts = ({ outputs }: Comparison): unknown[] =>
  outputs.map(({ name, kind, agrees }) => [name, kind, agrees])

const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)

test('floats agree within the tolerance of their datatype, integers and texts only if equal', () => {
  const of = (label: number, score: number, text: string, version: string): ComparedResponse =>
    protocol(
      [
        { name: 'label', datatype: 'INT64', shape: [1], data: [label] },
        { name: 'score', datatype: 'FP32', shape: [1], data: [score] },
        { name: 'text', datatype: 'BYTES', shape: [1], data: [text] },
      ],
      version,
    )
  const same = compare(of(7, 12.5, 'a', '1'), of(7, 12.501, 'a', '2'))
  assert.equal(same.agrees, true)
  assert.equal(same.kind, 'values')
  assert.deepEqual(verdicts(same), [
    ['label', 'exact', true],
    ['score', 'numbers', true],
    ['text', 'exact', true],
  ])
  const other = compare(of(7, 12.5, 'a', '1'), of(8, 12.6, 'b', '2'))
  assert.equal(other.agrees, false)
  assert.deepEqual(verdicts(other), [
    ['label', 'exact', false],
    ['score', 'numbers', false],
    ['text', 'exact', false],
  ])
  assert.match(other.reason ?? '', /^label: element 0 is 8 instead of 7$/)
  const score = other.outputs.find(({ name }) => name === 'score')
  assert.ok(Math.abs((score?.difference ?? 0) - 0.1 / 12.6) < 1e-9)
  assert.equal(
    compare(of(7, 12.5, 'a', '1'), of(7, 12.6, 'a', '2'), { relative: 0.01 }).agrees,
    true,
  )
  // Half precision has fewer digits.
  const half = (value: number): ComparedResponse =>
    protocol([{ name: 'y', datatype: 'FP16', shape: [1], data: [value] }])
  assert.equal(compare(half(1), half(1.005)).agrees, true)
})

test('binary outputs, compressed bodies, messages of gRPC and NumPy arrays are decoded', () => {
  const y = { name: 'y', datatype: 'FP32', shape: [1, 3] }
  const one = binary(y, floats(1, 2, 3))
  assert.deepEqual(verdicts(compare(one, binary(y, floats(1, 2.0005, 3), '2'))), [
    ['y', 'numbers', true],
  ])
  const far = compare(one, binary(y, floats(1, 2.5, 3), '2'))
  assert.deepEqual(verdicts(far), [['y', 'numbers', false]])
  assert.equal(far.outputs[0]?.measures['beyond'], 1)

  const zipped = (value: unknown): ComparedResponse =>
    response('application/json', gzipSync(JSON.stringify(value)), [['Content-Encoding', 'gzip']])
  assert.deepEqual(verdicts(compare(zipped({ y: [1.5] }), zipped({ y: [1.5001] }))), [
    ['y', 'numbers', true],
  ])

  const message = (value: number, version: string): ComparedResponse => {
    const writer = new BinaryWriter()
    writer.tag(1, WireType.LengthDelimited).string('m')
    writer.tag(2, WireType.LengthDelimited).string(version)
    writer.tag(5, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string('y')
    writer.tag(2, WireType.LengthDelimited).string('FP32')
    writer.tag(3, WireType.LengthDelimited).fork().int64(1).int64(1).join()
    writer.join()
    writer.tag(6, WireType.LengthDelimited).bytes(floats(value))
    return response('application/grpc', Buffer.from(writer.finish()))
  }
  assert.deepEqual(verdicts(compare(message(1.5, '1'), message(1.5001, '2'))), [
    ['y', 'numbers', true],
  ])
  assert.deepEqual(verdicts(compare(message(1.5, '1'), message(2, '2'))), [['y', 'numbers', false]])

  const array = (value: number): ComparedResponse => {
    const text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }".padEnd(117) + '\n'
    const head = Buffer.from(`\u0093NUMPY\u0001\u0000v\u0000${text}`, 'latin1')
    return response('application/x-npy', Buffer.concat([head, floats(value)]))
  }
  assert.deepEqual(verdicts(compare(array(1.5), array(1.5001))), [['array', 'numbers', true]])

  const octets = (value: number): ComparedResponse =>
    response('application/octet-stream', floats(value), [
      ['Tensor-Name', 'y'],
      ['Tensor-Datatype', 'FP32'],
      ['Tensor-Shape', '1'],
    ])
  assert.deepEqual(verdicts(compare(octets(1.5), octets(1.5001))), [['y', 'numbers', true]])
  // Without a description only equal bytes agree.
  const raw = (value: number): ComparedResponse =>
    response('application/octet-stream', floats(value))
  assert.deepEqual(verdicts(compare(raw(1.5), raw(1.5001))), [['body', 'bytes', false]])
  assert.equal(compare(raw(1.5), raw(1.5)).kind, 'identical')
})

test('large integers are compared digit by digit', () => {
  const of = (digits: string): ComparedResponse =>
    response('application/json', `{"id":${digits},"text":"9007199254740993"}`)
  assert.equal(compare(of('9007199254740992'), of('9007199254740993')).agrees, false)
  assert.deepEqual(verdicts(compare(of('9007199254740993'), of('9007199254740993 '))), [
    ['id', 'exact', true],
    ['text', 'exact', true],
  ])
  const typed = (value: bigint): ComparedResponse =>
    binary(
      { name: 'id', datatype: 'INT64', shape: [1] },
      Buffer.from(BigInt64Array.of(value).buffer),
    )
  assert.equal(compare(typed(2n ** 60n), typed(2n ** 60n + 1n)).agrees, false)
})

test('probabilities agree if the best class is the same and the divergence is small', () => {
  const of = (...rows: number[][]): ComparedResponse => json({ probabilities: rows })
  const close = compare(of([0.7, 0.2, 0.1]), of([0.68, 0.22, 0.1]))
  assert.deepEqual(verdicts(close), [['probabilities', 'probabilities', true]])
  const flipped = compare(of([0.51, 0.49], [0.1, 0.9]), of([0.49, 0.51], [0.1, 0.9]))
  assert.deepEqual(verdicts(flipped), [['probabilities', 'probabilities', false]])
  assert.equal(flipped.outputs[0]?.measures['top1'], 0.5)
  assert.match(flipped.reason ?? '', /row 0: another class has the highest probability/)
  const flat = compare(of([0.99, 0.01]), of([0.6, 0.4]))
  assert.equal(flat.agrees, false)
  assert.match(flat.reason ?? '', /the divergence is 0\.\d+, more than 0\.01/)
  assert.equal(compare(of([1, 0]), of([0.5, 0.5])).outputs[0]?.kind, 'probabilities')
  // Two classes that are equally probable.
  assert.equal(compare(of([0.4, 0.4, 0.2]), of([0.4001, 0.3999, 0.2])).agrees, true)
})

test('embeddings are compared by their angle', () => {
  const unit = (angle: number): number[] => [
    Math.cos(angle),
    Math.sin(angle),
    ...Array.from({ length: 10 }, () => 0),
  ]
  const of = (angle: number): ComparedResponse =>
    json({ object: 'list', data: [{ index: 0, embedding: unit(angle) }] })
  assert.deepEqual(verdicts(compare(of(0.1), of(0.12))), [
    ['object', 'exact', true],
    ['data[].index', 'exact', true],
    ['data[].embedding', 'embedding', true],
  ])
  const turned = compare(of(0.1), of(0.4))
  assert.deepEqual(verdicts(turned)[0], ['data[].embedding', 'embedding', false])
  assert.ok(Math.abs((turned.outputs[0]?.measures['cosine'] ?? 0) - Math.cos(0.3)) < 1e-6)
  assert.equal(compare(of(0.1), of(0.4), { cosine: 0.9 }).agrees, true)
  const long = (scale: number): ComparedResponse =>
    json([Array.from({ length: 200 }, (_, index) => scale * Math.sin(index))])
  assert.equal(compare(long(3), long(3.1)).agrees, true)
  assert.match(compare(long(3), long(4)).reason ?? '', /length of a row differs by 25/)
})

test('texts with JSON or classes are compared by what they say', () => {
  const of = (shape: readonly number[], ...data: string[]): ComparedResponse =>
    protocol([{ name: 'r', datatype: 'BYTES', shape, data }])
  const result = (score: number): ComparedResponse =>
    of([2], `[{"entity":"PER","score":${score}}]`, '{"answer":"Anna"}')
  assert.equal(compare(result(0.98), result(0.97999)).agrees, true)
  const far = compare(result(0.98), result(0.9))
  assert.deepEqual(verdicts(far), [
    ['r[][].score', 'numbers', false],
    ['r[][].entity', 'exact', true],
    ['r[].answer', 'exact', true],
  ])
  const classes = (...texts: string[]): ComparedResponse => of([1, 2], ...texts)
  const one = classes('0.700000:7:dog', '0.200000:1:cat')
  assert.deepEqual(verdicts(compare(one, classes('0.690000:7:dog', '0.210000:1:cat'))), [
    ['r[]', 'labels', true],
  ])
  assert.equal(compare(one, classes('0.510000:1:cat', '0.490000:7:dog')).agrees, false)
  const logits = classes('12.5:7:dog', 'inf:1:cat')
  assert.equal(compare(logits, classes('12.501:7:dog', 'inf:1:cat')).agrees, true)
  assert.equal(compare(logits, classes('13.5:7:dog', 'inf:1:cat')).agrees, false)
  assert.equal(compare(of([1], '{"a":1}'), of([1], 'none')).agrees, false)
  assert.equal(compare(of([1], '{"a":1'), of([1], '{"a":2')).agrees, false)
})

test('labels are matched by name, and detections by their boxes', () => {
  const labels = (...list: [string, number][]): ComparedResponse =>
    json(list.map(([label, score]) => ({ label, score })))
  const swapped = compare(
    labels(['a', 0.5], ['b', 0.25], ['c', 0.25]),
    labels(['a', 0.5], ['c', 0.25], ['b', 0.25]),
  )
  assert.deepEqual(verdicts(swapped), [['response', 'labels', true]])
  // The last label of a short list is another one.
  assert.equal(
    compare(labels(['a', 0.9], ['b', 0.01]), labels(['a', 0.9], ['c', 0.012])).agrees,
    true,
  )
  const wrong = compare(labels(['a', 0.6], ['b', 0.4]), labels(['b', 0.55], ['a', 0.45]))
  assert.equal(wrong.agrees, false)
  assert.match(wrong.reason ?? '', /the best label is "b" instead of "a"/)
  const sigmoid = compare(labels(['a', 0.9], ['b', 0.8]), labels(['a', 0.9], ['b', 0.5]))
  assert.match(sigmoid.reason ?? '', /scoreError is 0\.300/)

  // Words of a text are no labels: each has its place.
  const entity = (word: string, start: number): object => ({
    entity_group: 'PER',
    score: 0.9,
    word,
    start,
    end: start + word.length,
  })
  const words = (...places: number[]): ComparedResponse =>
    json(places.map((place) => entity('Anna', place)))
  assert.equal(compare(words(0, 9), words(0, 8)).agrees, false)
  assert.match(compare(words(0), words(7)).reason ?? '', /^\[\]\.start: |\[\]\.end: /)
  const repeated = labels(['a', 0.4], ['a', 0.3])
  assert.equal(compare(repeated, labels(['a', 0.3], ['a', 0.4])).agrees, false)

  type Found = [label: string, score: number, ...box: number[]]
  const detections = (...list: Found[]): ComparedResponse =>
    json(list.map(([label, score, ...box]) => ({ class: label, index: 0, score, box })))
  const one = detections(['dog', 0.9, 10, 10, 50, 50], ['cat', 0.8, 60, 60, 90, 90])
  const moved = detections(['cat', 0.81, 61, 60, 91, 90], ['dog', 0.9, 10, 11, 50, 50])
  const matched = compare(one, moved)
  assert.deepEqual(verdicts(matched), [['response', 'detections', true]])
  assert.ok((matched.outputs[0]?.measures['iou'] ?? 0) > 0.9)
  for (const [other, reason] of [
    [detections(['dog', 0.9, 10, 10, 50, 50]), /1 of 2 and 1 boxes have no partner/],
    [detections(), /2 of 2 and 0 boxes/],
    [detections(['dog', 0.9, 10, 10, 50, 50], ['dog', 0.8, 60, 60, 90, 90]), /2 of 2 and 2 boxes/],
    [detections(['dog', 0.9, 10, 10, 50, 50], ['cat', 0.5, 60, 60, 90, 90]), /score of a box/],
  ] as const) {
    assert.match(compare(one, other).reason ?? '', reason)
    assert.equal(compare(other, one).agrees, false)
  }
})

test('what differs in form does not agree, and the reason says why', () => {
  for (const [one, other, kind, reason] of [
    [
      json({}),
      response('application/json', '{}', [], 500),
      'status',
      /status is 500 instead of 200/,
    ],
    [json('a'), response('text/plain', 'a'), 'type', /content type is "text\/plain"/],
    [json({ y: [1, 2] }), json({ y: [1, 2, 3] }), 'values', /y: shape \[3\] instead of \[2\]/],
    [json({ y: [1] }), json({ z: [1] }), 'values', /y: the response has no such member/],
    [json({ y: 1 }), json({ y: 1, z: 1 }), 'values', /z: only this response has this member/],
    [json([[1], [2, 3]]), json([[1], [2, 4]]), 'values', /response\[\]|\[\]: element 1 is 4/],
    [json({ y: 'a' }), json({ y: ['a'] }), 'values', /y: it is a list instead of "a"/],
    [json([1.5]), response('application/json', '[1.5'), 'form', /do not have the same form/],
    [json(`[`.repeat(9)), response('application/json', '['.repeat(100_000)), 'form', /same form/],
    [
      protocol([{ name: 'y', datatype: 'FP32', shape: [1], data: [1] }]),
      protocol([{ name: 'y', datatype: 'FP64', shape: [1], data: [1] }]),
      'values',
      /y: datatype "FP64" instead of "FP32"/,
    ],
    [
      protocol([{ name: 'y', datatype: 'FP32', shape: [1], data: [1] }]),
      protocol([{ name: 'z', datatype: 'FP32', shape: [1], data: [1] }]),
      'values',
      /y: the response has no such output/,
    ],
  ] as const) {
    const found = compare(one, other)
    assert.equal(found.agrees, false)
    assert.equal(found.kind, kind)
    assert.match(found.reason ?? '', reason)
  }
})

test('tables are compared by columns, and lines of JSON one by one', () => {
  const csv = (...lines: string[]): ComparedResponse => response('text/csv', lines.join('\r\n'))
  const values = (value: string, name = 'a'): ComparedResponse =>
    csv('name,value', `${name},${value}`, 'b,2.5')
  assert.deepEqual(verdicts(compare(values('1.5'), values('1.50000000000000001'))), [
    ['name', 'exact', true],
    ['value', 'numbers', true],
  ])
  assert.match(compare(values('1.5'), values('1.6')).reason ?? '', /^value: /)
  assert.match(compare(values('1.5'), values('1.5', 'c')).reason ?? '', /^name: element 0 is "c"/)
  const rows = (first: number): ComparedResponse =>
    csv('y_0,y_1,label', `${first},${1 - first},a`, '0.5,0.5,b')
  assert.deepEqual(verdicts(compare(rows(0.25), rows(0.26))), [
    ['y', 'probabilities', true],
    ['label', 'exact', true],
  ])
  const boxes = (edge: number, ...more: string[]): ComparedResponse =>
    csv('label,score,x1,y1,x2,y2', `face,0.98,${edge},6.4,38.4,32`, ...more)
  assert.deepEqual(verdicts(compare(boxes(13), boxes(13.5))), [['response', 'detections', true]])
  assert.match(compare(boxes(13), boxes(13, 'face,0.5,0,0,5,5')).reason ?? '', /1 of 1 and 2 boxes/)
  assert.deepEqual(verdicts(compare(csv('1,2', '3,4'), csv('1,2', '3,5'))), [
    ['response', 'exact', false],
  ])
  assert.match(compare(csv('a,b', '1'), csv('a,b', '2')).reason ?? '', /^response: element 0/)
  const lines = (score: number): ComparedResponse =>
    response('application/x-ndjson', `{"y":1.5}\n{"y":${score}}\n`)
  assert.equal(compare(lines(2), lines(2.0001)).agrees, true)
  assert.equal(compare(lines(2), lines(3)).agrees, false)
})
