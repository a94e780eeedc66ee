/**
 * JSON of the ONNX handler: numbers and strings are exact, and invalid JSON always gets a 4xx
 * status.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServerError } from '../../../../../src/errors.ts'
import { prefersOctets } from '../../../../../src/worker/process/onnx/headers.ts'
import {
  MAX_NUMBER_BYTES,
  writeDouble,
  writeInteger,
  writeSingle,
} from '../../../../../src/worker/process/onnx/json/number-writer.ts'
import { JsonReader } from '../../../../../src/worker/process/onnx/json/reader.ts'
import { readTensor } from '../../../../../src/worker/process/onnx/json/tensor-reader.ts'
import { JsonWriter } from '../../../../../src/worker/process/onnx/json/writer.ts'
import {
  bytesToElement,
  elementToBytes,
  elementToText,
  textToElement,
} from '../../../../../src/worker/process/onnx/tensors/byte-strings.ts'
import { halfToNumber, numberToHalf } from '../../../../../src/worker/process/onnx/tensors/half.ts'
import type { Datatype, Tensor } from '../../../../../src/worker/process/onnx/tensors/tensor.ts'
import { randomNumbers } from '../../../../helpers/random.ts'

const MAX_DEPTH = 100

function read(text: string | Buffer, datatype: Datatype = 'FP32'): Tensor {
  const reader = new JsonReader(Buffer.from(text), MAX_DEPTH)
  const tensor = readTensor(reader, { name: 'x', datatype, shape: [-1], dimensions: ['n'] })
  reader.end()
  return tensor
}

/** What is wrong with a text. */
function refusal(text: string | Buffer, datatype: Datatype = 'FP32'): string {
  try {
    read(text, datatype)
  } catch (error) {
    assert.ok(error instanceof ServerError, String(error))
    assert.equal(error.statusCode, 400)
    return error.message
  }
  return 'accepted'
}

function written(
  write: (bytes: Buffer, at: number, value: number) => number,
  value: number,
): string {
  const bytes = Buffer.alloc(MAX_NUMBER_BYTES + 8)
  return bytes.toString('latin1', 4, write(bytes, 4, value))
}

/**
 * A number whose last digits matter for rounding: the midpoint of two doubles, cut to some length,
 * with its last digit changed by at most one.
 */
function besideMidpoint(random: ReturnType<typeof randomNumbers>): string {
  const places = random.integer(2, 70)
  const significand = 2n ** 52n + BigInt(Math.floor(random.next() * 2 ** 52))
  // (2m + 1) / 2^places is (2m + 1) · 5^places / 10^places.
  const exact = String((2n * significand + 1n) * 5n ** BigInt(places))
  const kept = random.integer(12, 25)
  const digits = String(BigInt(exact.slice(0, kept)) + BigInt(random.integer(-1, 1)))
  const point = exact.length - places - kept + digits.length
  if (point > 0 && point < digits.length) return `${digits.slice(0, point)}.${digits.slice(point)}`
  return point > 0 ? `${digits}e${point - digits.length}` : `0.${'0'.repeat(-point)}${digits}`
}

test('floats are read as Number() and float32 rounding read them, at every length', () => {
  const random = randomNumbers(1)
  const texts = [
    '0',
    '-0',
    '0.0',
    '0e5',
    '1',
    '10',
    '1.50',
    '123456789012345678901234567890',
    '5e-324',
  ]
  texts.push('1e22', '1e23', '1E-22', '1e+5', '2.2250738585072011e-308', '16777217', '0.1e-6')
  texts.push(
    '1.00000005960464477539062',
    '1.0000000596046448',
    '7.038531e-26',
    '1e-46',
    '0.000000000000000000012345678',
  )
  for (let count = 0; count < 20_000; count++) {
    const digits = Array.from({ length: random.integer(1, 25) }, () => random.integer(0, 9)).join(
      '',
    )
    const point = random.integer(0, digits.length)
    const whole = digits.slice(0, point).replace(/^0+(?=\d)/, '') || '0'
    const fraction = point < digits.length ? `.${digits.slice(point)}` : ''
    const exponent = random.integer(0, 2) === 0 ? `e${random.integer(-30, 12)}` : ''
    texts.push(`${random.integer(0, 1) ? '-' : ''}${whole}${fraction}${exponent}`)
  }
  for (let count = 0; count < 5000; count++) texts.push(besideMidpoint(random))
  const json = `[${texts.join(' ,')}]`
  assert.deepEqual(read(json, 'FP64').data, Float64Array.from(texts, Number))
  assert.deepEqual(read(json, 'FP32').data, Float32Array.from(texts, Number))
})

test('a float32 is written in few digits and reads back as itself', () => {
  const shown: [number, string][] = [
    [0.1, '0.1'],
    [-2.5, '-2.5'],
    [1e9, '1000000000'],
    [16777216, '16777216'],
    [1 / 3, '0.33333334'],
    [1e-6, '1e-6'],
    [1e-45, '1.401298e-45'],
    [1.17549435e-38, '1.1754944e-38'],
    [1.5e-7, '1.5e-7'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [-0, '-0'],
    [0, '0'],
    [Number.NaN, 'null'],
    [Number.NEGATIVE_INFINITY, 'null'],
  ]
  for (const [value, text] of shown) assert.equal(written(writeSingle, Math.fround(value)), text)
  const random = randomNumbers(2)
  const bits = new Uint32Array(1)
  const single = new Float32Array(bits.buffer)
  for (let count = 0; count < 100_000; count++) {
    bits[0] = random.integer(0, 2 ** 32 - 1)
    const [value = 0] = single
    const text = written(writeSingle, value)
    if (!Number.isFinite(value)) assert.equal(text, 'null')
    else assert.ok(Object.is(Math.fround(JSON.parse(text)), value), `${value} became ${text}`)
  }
  assert.equal(written(writeDouble, 0.1 + 0.2), '0.30000000000000004')
  assert.equal(written(writeDouble, -0), '-0')
  assert.equal(written(writeInteger, -2147483648), '-2147483648')
})

test('every half survives the way through a number, and numbers round to the nearest half', () => {
  for (let bits = 0; bits < 65_536; bits++) {
    const value = halfToNumber(bits)
    if (Number.isNaN(value)) assert.ok(Number.isNaN(halfToNumber(numberToHalf(value))))
    else assert.equal(numberToHalf(value), bits)
  }
  assert.equal(halfToNumber(0x3555), 0.333251953125)
  assert.equal(numberToHalf(65_519), 0x7bff)
  assert.equal(numberToHalf(65_520), 0x7c00)
  assert.equal(numberToHalf(1 + 2 ** -11), 0x3c00)
  assert.equal(numberToHalf(1 + 3 * 2 ** -11), 0x3c02)
  assert.equal(numberToHalf(2 ** -25), 0)
  assert.equal(numberToHalf(-(2 ** -24)), 0x8001)
})

test('integers are exact up to 64 bits, and what does not fit is refused by name, place and value', () => {
  const int64 = [
    '0',
    '-0',
    '9007199254740993',
    '9223372036854775807',
    '-9223372036854775808',
    '-1',
    '-4294967297',
  ]
  assert.deepEqual(read(`[${int64.join()}]`, 'INT64').data, BigInt64Array.from(int64, BigInt))
  const uint64 = ['18446744073709551615', '0', '4294967296', '999999999999999']
  assert.deepEqual(read(`[${uint64.join()}]`, 'UINT64').data, BigUint64Array.from(uint64, BigInt))
  assert.deepEqual(read('[-128,127]', 'INT8').data, Int8Array.of(-128, 127))
  assert.deepEqual(read('[true,0,1,false]', 'BOOL').data, Uint8Array.of(1, 0, 1, 0))
  const refused: [string, Datatype, string][] = [
    ['[0,300]', 'UINT8', 'Input "x", element 1: 300 is out of range for UINT8 (0 to 255).'],
    ['[-1]', 'UINT32', 'Input "x", element 0: -1 is out of range for UINT32 (0 to 4294967295).'],
    ['[1.5]', 'INT32', 'Input "x", element 0: 1.5 is not an integer.'],
    ['[1e3]', 'INT32', 'Input "x", element 0: 1e3 is not an integer.'],
    ['["1"]', 'INT32', 'Input "x", element 0: the string "1" is not an integer.'],
    ['[true]', 'INT64', 'Input "x", element 0: true is not an integer.'],
    ['[1,"2"]', 'FP32', 'Input "x", element 1: the string "2" is not a number.'],
    ['[2]', 'BOOL', 'Input "x", element 0: 2 is not true, false, 1 or 0.'],
    ['[1.0]', 'BOOL', 'Input "x", element 0: 1.0 is not true, false, 1 or 0.'],
    ['[5]', 'BYTES', 'Input "x", element 0: 5 is not a string.'],
    ['[1e39]', 'FP32', 'Input "x", element 0: 1e39 is out of range for FP32.'],
    ['[-1e999]', 'FP64', 'Input "x", element 0: -1e999 is out of range for FP64.'],
    ['[70000]', 'FP16', 'Input "x", element 0: 70000 is out of range for FP16.'],
  ]
  for (const [text, datatype, message] of refused) assert.equal(refusal(text, datatype), message)
  for (const datatype of ['BYTES', 'INT32', 'INT64', 'BOOL'] as const) {
    assert.match(
      refusal('[null]', datatype),
      /element 0: null is not .*; null is only valid in float inputs/,
    )
  }
  for (const value of ['9223372036854775808', '-9223372036854775809', '1'.repeat(400)]) {
    const message = refusal(`[ ${value}]`, 'INT64')
    assert.ok(
      message.startsWith(`Input "x", element 0: ${value.slice(0, 40)} is out of range`),
      message,
    )
  }
  assert.match(
    refusal(`[1${'0'.repeat(100_000)}]`),
    /^Input "x", element 0: 10{39} is out of range/,
  )
  assert.match(refusal('[18446744073709551616]', 'UINT64'), /is out of range for UINT64/)
  assert.match(refusal('[-1]', 'UINT64'), /element 0: -1 is out of range for UINT64/)
})

test('NaN and the infinities are read in words', () => {
  const words = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1]
  assert.deepEqual(read('[NaN, Infinity,-Infinity ,1]').data, Float32Array.from(words))
  assert.deepEqual(read('[NaN,-Infinity]', 'FP16').data, Uint16Array.of(0x7e00, 0xfc00))
  assert.match(refusal('[-NaN]'), /element 0: -NaN is not a number/)
  assert.match(refusal('[NaN]', 'INT32'), /NaN is not an integer/)
})

test('the shape is the nesting, and ragged arrays are refused', () => {
  const shapes: [string, number[]][] = [
    ['5', []],
    ['[]', [0]],
    ['[[],[]]', [2, 0]],
    ['[[[]],[[]]]', [2, 1, 0]],
    ['[1,2,3]', [3]],
    [' [ [ 1 , 2 ] , [ 3 , 4 ] , [ 5 , 6 ] ] ', [3, 2]],
    ['[[[1],[2]]]', [1, 2, 1]],
  ]
  for (const [text, shape] of shapes) assert.deepEqual(read(text).shape, shape, text)
  const ragged = [
    '[[1],[2,3]]',
    '[[1],2]',
    '[[],[[]]]',
    '[[[]],[]]',
    '[[1],[]]',
    '[[],1]',
    '[[1,2],[3]]',
  ]
  for (const text of ragged)
    assert.match(refusal(text), /^Input "x": the nested arrays are ragged/, text)
  assert.match(refusal('[1,[2]]'), /element 1: "\[" is not a number/)
  assert.match(refusal('[{}]'), /element 0: "{" is not a number/)
})

test('malformed JSON is refused with the place', () => {
  const malformed: [string, number][] = [
    ['', 0],
    ['[', 1],
    ['[1', 2],
    ['[1,', 3],
    ['[1,]', 3],
    ['[,1]', 1],
    ['[1 2]', 3],
    ['[01]', 1],
    ['[1.]', 3],
    ['[.5]', 1],
    ['[1e]', 3],
    ['[+1]', 1],
    ['[1]]', 3],
    ['[1] x', 4],
    ['[[1]', 4],
    ['[1}', 2],
    ['[nan]', 1],
    ['\uFEFF[1]', 0],
    ['\u00a0[1]', 0],
  ]
  for (const [text, offset] of malformed) {
    const message = refusal(text)
    assert.ok(
      message.startsWith(`Malformed JSON at byte ${offset}: `) ||
        /element 0: nan is not/.test(message),
      `${JSON.stringify(text)}: ${message}`,
    )
  }
  assert.match(refusal(Buffer.from('[1]', 'utf16le')), /^Malformed JSON at byte/)
  assert.match(refusal(Buffer.of(0x5b, 0x22, 0xff, 0x22, 0x5d), 'BYTES'), /not valid UTF-8/)
  assert.match(refusal('["a\nb"]', 'BYTES'), /control character/)
  assert.match(refusal('["\\x"]', 'BYTES'), /escape/)
  assert.match(refusal('["\\ud800"]', 'BYTES'), /surrogate/)
  assert.match(refusal('["abc', 'BYTES'), /no closing quote/)
  assert.match(refusal('["abc\\"', 'BYTES'), /no closing quote/)
})

test('nesting is limited without recursion', () => {
  assert.equal(refusal('['.repeat(100) + '1' + ']'.repeat(100)), 'accepted')
  for (const depth of [101, 10_000, 250_000]) {
    assert.match(refusal('['.repeat(depth)), /nested deeper than 100 levels/)
    for (const text of ['['.repeat(depth), '{"a":'.repeat(depth)]) {
      const reader = new JsonReader(Buffer.from(text), MAX_DEPTH)
      assert.throws(() => reader.skipValue(), /nested deeper than 100 levels/)
    }
  }
})

test('a skipped value is checked as strictly as one that is read', () => {
  const skip = (text: string): void => {
    const reader = new JsonReader(Buffer.from(text), MAX_DEPTH)
    reader.skipValue()
    reader.end()
  }
  const valid = [
    '{}',
    '[]',
    '{"a":[1,{"b":null}],"c":"d\\u0041"}',
    '[[],{},[{}]]',
    '"x"',
    '-1.5e3',
    'true',
    'NaN',
  ]
  for (const text of valid) assert.doesNotThrow(() => skip(text), text)
  const invalid = [
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '[1,]',
    '{1:2}',
    '{"a":1 "b":2}',
    '[tru]',
    '01',
    '1.',
    '-',
    '"',
    '[}',
  ]
  for (const text of [...invalid, '{"a":1}}']) {
    assert.throws(() => skip(text), { type: 'InvalidInputException' }, text)
  }
})

test('strings are kept byte for byte, through elements that C strings could not hold', () => {
  const texts = [
    '',
    'plain',
    'naïve 世界 😀',
    'he\0llo',
    '\0',
    '\u{10fe41}',
    '"\\/\b\f\n\r\t',
    'a\u{10fe00}b',
  ]
  const tensor = read(JSON.stringify(texts), 'BYTES')
  assert.ok(tensor.datatype === 'BYTES')
  assert.ok(tensor.data.every((element) => !element.includes('\0')))
  assert.deepEqual(tensor.data.map(elementToText), texts)
  const writer = new JsonWriter(10_000)
  assert.deepEqual(JSON.parse(writer.nested(tensor, 'y').finish().toString()), texts)
  const random = randomNumbers(3)
  for (let count = 0; count < 2000; count++) {
    const bytes = Buffer.from(
      Array.from({ length: random.integer(0, 12) }, () => random.integer(0, 255)),
    )
    assert.deepEqual(elementToBytes(bytesToElement(bytes)), bytes)
  }
  const joined = `plain ${bytesToElement(Buffer.of(0xff, 0x00))} end`
  assert.deepEqual(
    elementToBytes(joined),
    Buffer.concat([Buffer.from('plain '), Buffer.of(0xff, 0), Buffer.from(' end')]),
  )
  const blob: Tensor = { datatype: 'BYTES', shape: [1], data: [bytesToElement(Buffer.of(0xff))] }
  assert.throws(
    () => new JsonWriter(100).flat(blob, 'y'),
    /Output "y", element 0: .*not valid UTF-8.*binary/,
  )
  assert.equal(textToElement('text'), 'text')
})

test('tensors are written flat and nested, and no further than the limit', () => {
  const cases: [Tensor, string, string][] = [
    [
      { datatype: 'INT32', shape: [2, 3], data: Int32Array.of(1, -2, 3, 4, 5, 6) },
      '[1,-2,3,4,5,6]',
      '[[1,-2,3],[4,5,6]]',
    ],
    [{ datatype: 'FP32', shape: [], data: Float32Array.of(0.5) }, '[0.5]', '0.5'],
    [{ datatype: 'FP32', shape: [0, 4], data: new Float32Array() }, '[]', '[]'],
    [{ datatype: 'FP32', shape: [2, 0, 3], data: new Float32Array() }, '[]', '[[],[]]'],
    [
      { datatype: 'BOOL', shape: [2, 1, 1], data: Uint8Array.of(1, 0) },
      '[true,false]',
      '[[[true]],[[false]]]',
    ],
    [
      { datatype: 'FP16', shape: [2], data: Uint16Array.of(0x3c00, 0x7e00) },
      '[1,null]',
      '[1,null]',
    ],
    [
      { datatype: 'UINT64', shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) },
      '[18446744073709551615]',
      '[18446744073709551615]',
    ],
    [
      { datatype: 'INT64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
      '[-9223372036854775808]',
      '[-9223372036854775808]',
    ],
  ]
  for (const [tensor, flat, nested] of cases) {
    assert.equal(new JsonWriter(1000, 0).flat(tensor, 'y').finish().toString(), flat)
    assert.equal(new JsonWriter(1000, 0).nested(tensor, 'y').finish().toString(), nested)
  }
  const large: Tensor = { datatype: 'UINT8', shape: [1000], data: new Uint8Array(1000) }
  const size = '[0,]'.length + 2 * 999 - 1
  assert.equal(new JsonWriter(size).flat(large, 'y').finish().length, size)
  assert.throws(() => new JsonWriter(size - 1).flat(large, 'y').finish(), { statusCode: 507 })
  const endless: Tensor = { datatype: 'UINT8', shape: [2 ** 40, 0], data: new Uint8Array() }
  assert.throws(() => new JsonWriter(1000).nested(endless, 'y').finish(), { statusCode: 507 })
})

test('Accept chooses between JSON and raw bytes', () => {
  const octets = [
    'application/octet-stream',
    'application/octet-stream, */*',
    'Application/Octet-Stream;q=0.5, application/*;q=0.1',
    'application/json;q=0.5, application/octet-stream;q=0.8',
  ]
  const json = [
    '',
    '*/*',
    'application/json',
    'text/html',
    'application/json, application/octet-stream',
    'application/octet-stream;q=0',
    'application/octet-stream;q=0.1, */*',
    'application/octet-stream;q=x, application/json',
  ]
  for (const accept of octets) assert.equal(prefersOctets(accept), true, accept)
  for (const accept of json) assert.equal(prefersOctets(accept), false, accept)
})
