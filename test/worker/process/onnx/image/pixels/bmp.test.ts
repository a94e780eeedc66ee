import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ServerError } from '../../../../../../src/errors.ts'
import { fileFormatOf } from '../../../../../../src/formats/file-format.ts'
import { formatOfBytes } from '../../../../../../src/worker/process/onnx/image/format.ts'
import {
  isBmp,
  readBmpHeader,
  readBmpPixels,
} from '../../../../../../src/worker/process/onnx/image/pixels/bmp.ts'
import { bmpFile } from '../../../../../helpers/bmp.ts'
import type { BmpSource } from '../../../../../helpers/bmp.ts'
import { failsWith } from '../../../../../helpers/pictures.ts'

function read(bytes: Buffer): number[] {
  assert.ok(isBmp(bytes))
  const { data, width, height, channels } = readBmpPixels(bytes, readBmpHeader(bytes))
  assert.equal(data.length, width * height * channels)
  return [...data]
}

const RED = [255, 0, 0]
const GREEN = [0, 255, 0]
const BLUE = [0, 0, 255]
const COLORS = [0xff0000, 0x00ff00, 0x0000ff]
const size = { width: 3, height: 2 }
const blackRows = Array.from({ length: 3 }, () => [0, 0, 0, 0, 0])
const wanted = [RED, GREEN, BLUE, BLUE, GREEN, RED].flat()
const indices = [
  [0, 1, 2],
  [2, 1, 0],
]
const plainRows = indices.map((row) => row.map((index) => COLORS[index] ?? 0))

test('pixels of each depth are read, from the bottom and from the top', () => {
  const sources: BmpSource[] = [
    { ...size, bits: 4, rows: indices, palette: COLORS },
    { ...size, bits: 8, rows: indices, palette: COLORS },
    { ...size, bits: 24, rows: plainRows },
    { ...size, bits: 32, rows: plainRows },
    { ...size, bits: 32, rows: plainRows, masks: [0xff0000, 0xff00, 0xff] },
    {
      ...size,
      bits: 16,
      rows: indices.map((row) => row.map((index) => [0x7c00, 0x03e0, 0x1f][index] ?? 0)),
    },
    {
      ...size,
      bits: 16,
      rows: indices.map((row) => row.map((index) => [0xf800, 0x07e0, 0x1f][index] ?? 0)),
      masks: [0xf800, 0x07e0, 0x1f],
    },
  ]
  for (const source of sources) {
    const name = `${source.bits} bits, masks ${String(source.masks)}`
    assert.deepEqual(read(bmpFile(source)), wanted, name)
    assert.deepEqual(read(bmpFile({ ...source, isTopDown: true })), wanted, name)
    assert.equal(fileFormatOf(bmpFile(source)), 'a BMP image')
  }
  const bits = bmpFile({
    width: 10,
    height: 1,
    bits: 1,
    rows: [[0, 1, 1, 0, 0, 0, 0, 1, 0, 1]],
    palette: [0x000000, 0xffffff],
  })
  const lights = read(bits).filter((_, at) => at % 3 === 0)
  assert.deepEqual(lights, [0, 255, 255, 0, 0, 0, 0, 255, 0, 255])
})

test('texts that begin with BM, and headers of absurd lengths, are no BMP', () => {
  const texts = [
    'BM',
    'BMW builds cars in Munich, and has done so for a hundred years.',
    'BM\n\t1 2 3',
  ]
  for (const bytes of [
    ...texts.map((text) => Buffer.from(text)),
    Buffer.from(`BM${'\0'.repeat(99)}`),
  ])
    assert.deepEqual(
      [isBmp(bytes), formatOfBytes(bytes), fileFormatOf(bytes)],
      [false, undefined, undefined],
    )
  const absurd = bmpFile({ ...size, bits: 24, rows: plainRows })
  absurd.writeUInt32LE(0xff_ff_ff_ff, 14)
  assert.equal(isBmp(absurd), false)
})

test('masks of all 32 bits are read without a sign', () => {
  const masks = [0xff_ff_ff_ff, 0xff_00_00_00, 0] as const
  const file = bmpFile({
    width: 2,
    height: 1,
    bits: 32,
    rows: [[0xff_ff_ff_ff, 0x80_00_00_00]],
    masks,
  })
  assert.deepEqual([...readBmpPixels(file, readBmpHeader(file)).data], [255, 255, 0, 127, 128, 0])
})

test('a damaged or compressed file is rejected, and the error says why', () => {
  const file = bmpFile({ ...size, bits: 24, rows: plainRows })
  const palette = bmpFile({ ...size, bits: 8, rows: indices, palette: COLORS })
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(file)
    copy.writeInt32LE(value, at)
    return copy
  }
  const damaged: [Buffer, RegExp][] = [
    [file.subarray(0, file.length - 5), /5 bytes of its pixels are missing/],
    [file.subarray(0, 40), /its header is incomplete/],
    [changed(18, 0), /declares 0×2 pixels/],
    [changed(18, -3), /declares -3×2 pixels/],
    [changed(18, 2 ** 30), /bytes of its pixels are missing/],
    [changed(10, 3), /its palette is incomplete/],
    [palette.subarray(0, 60), /its palette is incomplete/],
  ]
  for (const [bytes, pattern] of damaged) {
    assert.throws(() => readBmpHeader(bytes), failsWith('InvalidInputException', pattern))
  }
  for (const [compression, bits, pattern] of [
    [1, 8, /is compressed \(RLE, 8 bits\); send it as PNG/],
    [2, 4, /is compressed \(RLE, 4 bits\)/],
    [4, 24, /is compressed \(JPEG, 24 bits\)/],
    [77, 24, /is compressed \(method 77, 24 bits\)/],
    [0, 2, /has 2 bits for each pixel, which is not supported; send it as PNG/],
    [0, 65_535, /has 65535 bits for each pixel/],
  ] as const) {
    const other = bmpFile({ ...size, bits: 8, rows: indices, palette: COLORS, compression })
    other.writeUInt16LE(bits, 28)
    assert.throws(() => readBmpHeader(other), failsWith('UnsupportedMediaTypeException', pattern))
  }
  const tensor = Buffer.from('424d000000000000000000000000ffffffff', 'hex')
  assert.deepEqual([isBmp(tensor), fileFormatOf(tensor)], [false, undefined])
})

test('changed bytes of a header never give other errors or pixels from outside of the file', () => {
  const files = ([1, 4, 8, 16, 24, 32] as const).map((bits) =>
    bmpFile({ width: 5, height: 3, bits, rows: blackRows, palette: bits < 16 ? COLORS : [] }),
  )
  const change = fc.tuple(fc.integer({ min: 2, max: 70 }), fc.integer({ min: 0, max: 255 }))
  let readable = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (file, changes) => {
        const bytes = Buffer.from(file)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        if (!isBmp(bytes)) return
        try {
          const header = readBmpHeader(bytes)
          assert.ok(header.width * header.height <= bytes.length * 8)
          const { data } = readBmpPixels(bytes, header)
          assert.equal(data.length, header.width * header.height * 3)
          readable++
        } catch (error) {
          assert.ok(error instanceof ServerError, String(error))
        }
      },
    ),
    { numRuns: 2000 },
  )
  assert.ok(readable > 100)
})
