/** NumPy's files as inputs, and other files that must not become numbers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { DATATYPES } from '../../../../../src/contract/datatypes.ts'
import type { Datatype } from '../../../../../src/contract/datatypes.ts'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import { npyFile } from '../../../../helpers/npy.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import type { Dimension } from '../../../../helpers/onnx-builder.ts'
import { ask, bodyRequest, loadModel, parameter, problem } from '../../../../helpers/onnx-model.ts'
import { randomTensor } from '../../../../helpers/random-tensor.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

const OCTETS = 'application/octet-stream'
const DESCRS: Readonly<Record<Exclude<Datatype, 'BYTES'>, string>> = {
  BOOL: '|b1',
  UINT8: '|u1',
  UINT16: '<u2',
  UINT32: '<u4',
  UINT64: '<u8',
  INT8: '|i1',
  INT16: '<i2',
  INT32: '<i4',
  INT64: '<i8',
  FP16: '<f2',
  FP32: '<f4',
  FP64: '<f8',
}

async function identity(
  t: TestContext,
  type: Datatype,
  shape: readonly Dimension[] = ['n', 'm'],
): Promise<LoadedModel> {
  return loadModel(t, writeModelFolder(temporaryFolder(t), 'm', identityGraph({ type, shape })))
}

function doubles(...values: readonly number[]): Buffer {
  return Buffer.from(Float64Array.from(values).buffer)
}

function longs(...values: readonly bigint[]): Buffer {
  return Buffer.from(BigInt64Array.from(values).buffer)
}

test('A4: an array file is read with its own type and shape, however it is declared', async (t) => {
  const model = await identity(t, 'FP32')
  const data = Buffer.from(Float32Array.of(1, -2.5, 3, Number.NaN, 5, 6).buffer)
  const answer = [
    200,
    {
      y: [
        [1, -2.5, 3],
        [null, 5, 6],
      ],
    },
  ]
  for (const version of [1, 2, 3]) {
    const file = npyFile({ descr: '<f4', shape: [2, 3], data, version })
    for (const type of ['', OCTETS, 'application/x-npy', 'application/x-numpy', 'text/plain']) {
      assert.deepEqual(await ask(model, bodyRequest(file, type)), answer, `${version} ${type}`)
    }
    for (const [name, type] of [
      ['x', OCTETS],
      ['upload', 'application/x-npy'],
      ['x', ''],
    ] as const) {
      assert.deepEqual(await ask(model, { parameters: [parameter(name, file, type)] }), answer)
    }
  }
})

test('A4: every datatype comes back as it was, in both byte orders and both orders of elements', async (t) => {
  const seed = Number(process.env['SEED'] ?? 4711)
  t.diagnostic(`SEED=${seed}`)
  const random = randomNumbers(seed)
  for (const datatype of DATATYPES) {
    if (datatype === 'BYTES') continue
    const model = await identity(t, datatype)
    for (let turn = 0; turn < 8; turn++) {
      const { shape, bytes } = randomTensor(random, datatype)
      const raw = bodyRequest(bytes, OCTETS, [['Tensor-Shape', shape.join()]])
      const expected = await ask(model, raw)
      assert.equal(expected[0], 200)
      const descr: string = DESCRS[datatype]
      const size = Number(descr.slice(2))
      const turned = size === 1 ? bytes : reversed(bytes, size)
      const big = descr.replace('<', '>')
      const files = [
        npyFile({ descr, shape, data: bytes }),
        npyFile({ descr: big, shape, data: turned }),
        npyFile({ descr, shape, data: transposed(bytes, shape, size), fortranOrder: true }),
      ]
      for (const file of files) assert.deepEqual(await ask(model, bodyRequest(file, '')), expected)
    }
  }
})

test('A4: Fortran order is read for any rank', async (t) => {
  const model = await identity(t, 'UINT8', ['a', 'b', 'c', 'd'])
  const data = Buffer.from(Array.from({ length: 24 }, (_, index) => index))
  const file = npyFile({ descr: '|u1', shape: [2, 3, 1, 4], data, fortranOrder: true })
  const [, body] = await ask(model, bodyRequest(file, ''))
  const { y } = body as { y: number[][][][] }
  for (const [a, planes] of y.entries())
    for (const [b, rows] of planes.entries())
      for (const [c, row] of rows.entries())
        for (const [d, value] of row.entries()) assert.equal(value, a + 2 * b + 6 * c + 6 * d)
})

test('A4: elements are converted as the same numbers in JSON are', async (t) => {
  const wide = npyFile({ descr: '<f8', shape: [1, 2], data: doubles(0.1, 1e300) })
  const exact = npyFile({
    descr: '<f8',
    shape: [1, 2],
    data: doubles(0.1, Number.NEGATIVE_INFINITY),
  })
  const integers = npyFile({ descr: '<i8', shape: [1, 2], data: longs(1n, 300n) })
  const bits = npyFile({ descr: '<i8', shape: [1, 2], data: longs(1n, 0n) })
  const flags = npyFile({ descr: '|b1', shape: [1, 2], data: Buffer.from([2, 0]) })
  const taken: [Datatype, Buffer, unknown][] = [
    ['FP32', exact, [[0.1, null]]],
    ['FP64', wide, [[0.1, 1e300]]],
    ['FP32', integers, [[1, 300]]],
    ['UINT16', integers, [[1, 300]]],
    ['INT64', integers, [[1, 300]]],
    ['BOOL', bits, [[true, false]]],
    ['BOOL', flags, [[true, false]]],
  ]
  for (const [type, file, y] of taken) {
    assert.deepEqual(await ask(await identity(t, type), bodyRequest(file, '')), [200, { y }])
  }
  const refused: [Datatype, Buffer, RegExp][] = [
    ['FP32', wide, /^400 .*element 1: 1e\+300 is out of range for FP32/],
    [
      'INT8',
      npyFile({ descr: '<i8', shape: [1, 2], data: longs(1n, 300n) }),
      /300 is out of range/,
    ],
    ['UINT64', npyFile({ descr: '<i8', shape: [1, 1], data: longs(-1n) }), /-1 is out of range/],
    ['INT32', exact, /dtype "<f8" cannot be converted to INT32; convert it with astype/],
    ['FP32', flags, /dtype "\|b1" cannot be converted to FP32/],
    ['BYTES', exact, /dtype "<f8" cannot be converted to BYTES/],
  ]
  for (const [type, file, pattern] of refused) {
    assert.match(await problem(await identity(t, type), bodyRequest(file, '')), pattern)
  }
})

test('A4: strings of numpy feed inputs of strings', async (t) => {
  const model = await identity(t, 'BYTES', ['n'])
  const wide = Buffer.alloc(2 * 3 * 4)
  for (const [index, text] of ['añ', '😀'].entries()) {
    for (const [at, character] of [...text].entries()) {
      wide.writeUInt32BE(character.codePointAt(0) ?? 0, index * 12 + at * 4)
    }
  }
  const files: [Buffer, string[]][] = [
    [npyFile({ descr: '|S4', shape: [2], data: Buffer.from('ab\0\0abcd') }), ['ab', 'abcd']],
    [npyFile({ descr: '>U3', shape: [2], data: wide }), ['añ', '😀']],
    [npyFile({ descr: '>U3', shape: [2, 1], data: wide }), ['añ', '😀']],
  ]
  for (const [file, y] of files) {
    assert.deepEqual(await ask(model, bodyRequest(file, OCTETS)), [200, { y }])
  }
  const broken = npyFile({ descr: '<U1', shape: [1], data: Buffer.from('ffffffff', 'hex') })
  assert.match(
    await problem(model, bodyRequest(broken, '')),
    /4294967295 is not a Unicode character/,
  )
})

test('A4: the shape of the file is adapted as nested arrays are', async (t) => {
  const model = await identity(t, 'FP64', ['n', 4])
  const row = doubles(1, 2, 3, 4)
  for (const shape of [[1, 4], [4], [1, 4, 1]]) {
    const file = npyFile({ descr: '<f8', shape, data: row })
    assert.deepEqual(await ask(model, bodyRequest(file, '')), [200, { y: [[1, 2, 3, 4]] }])
  }
  const odd = npyFile({ descr: '<f8', shape: [2, 2], data: row })
  assert.match(
    await problem(model, bodyRequest(odd, '')),
    /expected FP64 \[-1,4\].*got shape \[2,2\]/,
  )
})

test('A4: a header that lies is refused before anything is allocated', async (t) => {
  const model = await identity(t, 'FP32')
  const data = Buffer.alloc(16)
  const head = (header: string): Buffer => npyFile({ descr: '', shape: [], data, header })
  const literal = (descr: string, shape: string): Buffer =>
    head(`{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`)
  const refused: [Buffer, RegExp][] = [
    [literal(`'<f4'`, '(1000000000, 1000000000)'), /^400 .*more elements than supported/],
    [literal(`'<f4'`, '(2, 3)'), /shape \[2,3\] requires 6 elements, but 16 bytes follow/],
    [literal(`'<f4'`, '(-1, 4)'), /its shape cannot be read/],
    [literal(`'<f4'`, `(${'1, '.repeat(100)})`), /its shape cannot be read/],
    [literal(`'<f4'`, `(${'9'.repeat(40)},)`), /its shape cannot be read/],
    [literal(`'|O'`, '(2,)'), /^415 .*with the dtype "\|O" is not supported/],
    [literal(`'<c8'`, '(2,)'), /^415 .*dtype "<c8"/],
    [literal(`'<M8[ns]'`, '(2,)'), /^415 .*dtype/],
    [literal(`'|S0'`, '(1000000000000,)'), /^415/],
    [literal(`'<f3'`, '(2,)'), /^415/],
    [literal(`[('a', '<f4')]`, '(2,)'), /^415 .*with a structured dtype/],
    [head(`{'descr': '<f4'}`), /^400 .*header cannot be read/],
    [head(' '.repeat(20_000)), /^400 .*its header has \d+ bytes/],
    [head(`__import__('os').system('true')`), /^415/],
    [npyFile({ descr: '<f4', shape: [4], data, version: 9 }), /^400 .*version 9/],
    [npyFile({ descr: '<f4', shape: [4], data }).subarray(0, 30), /^400 .*truncated in the header/],
    [Buffer.from('\x93NUMPY', 'latin1'), /^400 .*version 0/],
    [
      npyFile({ descr: '<f4', shape: [1, 3], data }),
      /^400 .*requires 3 elements, but 16 bytes follow/,
    ],
  ]
  for (const [file, pattern] of refused) {
    const text = await problem(model, bodyRequest(file, ''))
    assert.match(text, pattern)
    assert.ok(text.length < 400 && /^[\x20-\x7e]*$/.test(text), text)
  }
  const plain = bodyRequest(Buffer.alloc(8), 'application/x-npy')
  assert.match(await problem(model, plain), /^400 .*does not begin like one/)
})

test('A4: damaged array files never crash and never run long', async (t) => {
  const seed = Number(process.env['SEED'] ?? 99)
  t.diagnostic(`SEED=${seed}`)
  const random = randomNumbers(seed)
  const model = await identity(t, 'FP32')
  const whole = npyFile({ descr: '<f4', shape: [2, 2], data: Buffer.alloc(16) })
  for (let turn = 0; turn < 2000; turn++) {
    const file = Buffer.from(whole)
    for (let edits = random.integer(1, 4); edits > 0; edits--) {
      file[random.integer(6, file.length - 1)] = random.integer(0, 255)
    }
    const text = await problem(model, bodyRequest(file.subarray(0, random.integer(7, 200)), ''))
    assert.match(text, /^(?:200|400|415) /)
  }
})

test('A4: a model of several inputs takes array files by name only', async (t) => {
  const graph = identityGraph({ type: 'FP64', shape: ['n'] }, { type: 'INT64', shape: ['n'] })
  const model = await loadModel(t, writeModelFolder(temporaryFolder(t), 'm', graph))
  const first = npyFile({ descr: '<f8', shape: [2], data: doubles(1, 2) })
  const second = npyFile({ descr: '<i8', shape: [2], data: longs(3n, 4n) })
  const parameters = [parameter('x0', first, OCTETS), parameter('x1', second, 'application/x-npy')]
  assert.deepEqual(await ask(model, { parameters }), [200, { y0: [1, 2], y1: [3, 4] }])
  assert.match(
    await problem(model, bodyRequest(first, '')),
    /is only possible for a model with one input/,
  )
})

test('A4: well-known files and text are no numbers, whatever their length', async (t) => {
  const model = await identity(t, 'FP32', ['n'])
  const files: [string | Buffer, RegExp][] = [
    [Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /are a PNG image.*"handler": "image"/],
    [Buffer.from('ffd8ffe000104a464946', 'hex'), /are a JPEG image/],
    ['GIF89a', /are a GIF image/],
    ['%PDF-1.7\n', /are a PDF document/],
    [Buffer.from('PK\x03\x04', 'latin1'), /are a ZIP archive.*\.npz/],
    [gzipSync('x'.repeat(100)), /are gzip data.*Content-Encoding/],
    [Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /are an HDF5 file/],
    [Buffer.from('80049500', 'hex'), /are a Python pickle/],
    [Buffer.from('RIFF\0\0\0\0WAVEfmt ', 'latin1'), /are a WAV file/],
    ['0.1,0.2,0.3,0.4\n', /are text.*send the numbers as JSON/],
    ['sepal,petal\n5.8,2.7\n5.1,1.9\n6.0,2.2\n', /are text/],
    ['größe;gewicht;alter;länge;name\n1;2;3;4;Ä\n', /are text/],
    ['{"x": [0.1, 0.2, 0.3, 0.4]}     ', /are text.*application\/json/],
  ]
  for (const [content, pattern] of files) {
    const start = Buffer.from(content)
    const padding = Buffer.alloc((4 - (start.length % 4)) % 4, start.at(-1))
    const whole = Buffer.concat([start, padding])
    const requests = [
      bodyRequest(whole, OCTETS),
      { parameters: [parameter('x', whole, OCTETS)] },
      bodyRequest(whole, '', [
        [DIALECT_HEADER, 'v2'],
        ['Inference-Header-Content-Length', '0'],
      ]),
    ]
    for (const [index, request] of requests.entries()) {
      const [status, body] = await ask(model, request)
      const text = JSON.stringify(body).replaceAll('\\"', '"')
      assert.equal(status, 415, `${text} ${index}`)
      assert.match(text, pattern)
      assert.ok(/^[\x20-\x7e]*$/.test(text), text)
    }
  }
})

test('A4: numbers that look a little like text stay numbers, and a row of bytes may be any file', async (t) => {
  const floats = await identity(t, 'FP32', ['n'])
  for (const bytes of ['1,2\n', ' '.repeat(400), 'x'.repeat(400), '\t\n'.repeat(100)]) {
    assert.equal((await ask(floats, bodyRequest(Buffer.from(bytes), OCTETS)))[0], 200)
  }
  const seed = Number(process.env['SEED'] ?? 7)
  t.diagnostic(`SEED=${seed}`)
  const random = randomNumbers(seed)
  for (const type of ['FP32', 'FP64', 'INT32', 'INT64', 'FP16', 'UINT16'] as const) {
    const model = await identity(t, type, ['n'])
    for (let turn = 0; turn < 300; turn++) {
      const bytes = Buffer.from(
        Array.from({ length: 8 * random.integer(1, 8) }, () => random.integer(0, 255)),
      )
      assert.equal((await ask(model, bodyRequest(bytes, OCTETS)))[0], 200, bytes.toString('hex'))
    }
  }
  const bytes = await identity(t, 'UINT8', ['n'])
  const file = Buffer.from('%PDF-1.7\n')
  assert.deepEqual(await ask(bytes, bodyRequest(file, OCTETS)), [200, { y: [...file] }])
})

function reversed(bytes: Buffer, size: number): Buffer {
  const turned = Buffer.alloc(bytes.length)
  for (let at = 0; at < bytes.length; at += size) {
    turned.set(bytes.subarray(at, at + size).toReversed(), at)
  }
  return turned
}

/** A matrix column by column. */
function transposed(
  bytes: Buffer,
  [rows = 0, columns = 0]: readonly number[],
  size: number,
): Buffer {
  const parts: Buffer[] = []
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const at = (row * columns + column) * size
      parts.push(bytes.subarray(at, at + size))
    }
  }
  return Buffer.concat(parts)
}
