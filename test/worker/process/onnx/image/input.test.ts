import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import sharp from 'sharp'
import type { Sharp } from 'sharp'
import type { ImageSettings } from '../../../../../src/model-folder/image-settings.ts'
import { prepareDecoder } from '../../../../../src/worker/process/onnx/image/decode.ts'
import { picturesOf } from '../../../../../src/worker/process/onnx/image/parts.ts'
import { planImageInput } from '../../../../../src/worker/process/onnx/image/plan.ts'
import { imagesToTensor } from '../../../../../src/worker/process/onnx/image/tensor.ts'
import type { TensorSpec } from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import type {
  Datatype,
  NumericTensor,
} from '../../../../../src/worker/process/onnx/tensors/tensor.ts'
import type { WireParameter } from '../../../../../src/worker/wire/messages.ts'
import { failsWith, parameter, request, spec } from '../../../../helpers/pictures.ts'

prepareDecoder()

const COLOUR = [200, 100, 50] as const
/** Settings for bytes as they are in rows of RGB. */
const RGB_ROWS = { scale: 1, layout: 'NHWC' } as const
const plain = sharp({
  create: { width: 6, height: 4, channels: 3, background: { r: 200, g: 100, b: 50 } },
})

/** The tensor of one picture for an input of this shape. */
async function tensorOf(
  bytes: Buffer,
  shape: readonly number[],
  image: ImageSettings = {},
  datatype: Datatype = 'FP32',
): Promise<NumericTensor> {
  const { tensor } = await imagesToTensor([bytes], planImageInput(spec(shape, datatype), image))
  return tensor
}

function numbersOf({ data }: NumericTensor): number[] {
  return Array.from(data, Number)
}

/** Raw RGB rows as a picture file. */
function picture(width: number, bytes: readonly number[], channels: 1 | 3 | 4 = 3): Sharp {
  const height = bytes.length / width / channels
  return sharp(Uint8Array.from(bytes), { raw: { width, height, channels } })
}

/** A PNG that announces this size and holds next to no pixels. */
function pngOfSize(width: number, height: number): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0])
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  const chunks = [
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(Buffer.alloc(9))),
    pngChunk('IEND'),
  ]
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...chunks])
}

function pngChunk(type: string, data = Buffer.alloc(0)): Buffer {
  const chunk = Buffer.concat([Buffer.alloc(4), Buffer.from(type), data, Buffer.alloc(4)])
  chunk.writeUInt32BE(data.length, 0)
  let crc = 0xffffffff
  for (const byte of chunk.subarray(4, -4)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1
  }
  chunk.writeUInt32BE(~crc >>> 0, chunk.length - 4)
  return chunk
}

test('every supported format is decoded to the same colour', async () => {
  for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const) {
    const bytes = await plain.clone().toFormat(format).toBuffer()
    assert.equal(picturesOf(request(parameter(bytes))).length, 1, format)
    const { shape, data } = await tensorOf(bytes, [1, 3, 2, 2], { scale: 1 })
    assert.deepEqual(shape, [1, 3, 2, 2])
    for (const [channel, wanted] of COLOUR.entries()) {
      const got = Number(data[channel * 4 + 3])
      assert.ok(Math.abs(got - wanted) <= 3, `${format}, channel ${channel}: ${got}`)
    }
  }
})

test('layout, colours, scale, mean and deviation are those of the settings', async () => {
  const bytes = await picture(2, [10, 20, 30, 40, 50, 60]).png().toBuffer()
  const raw = { scale: 1 }
  assert.deepEqual(numbersOf(await tensorOf(bytes, [-1, 3, 1, 2], raw)), [10, 40, 20, 50, 30, 60])
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [-1, 1, 2, 3], RGB_ROWS)),
    [10, 20, 30, 40, 50, 60],
  )
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [1, 3, 1, 2], { ...raw, colors: 'bgr' })),
    [30, 60, 20, 50, 10, 40],
  )
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [1, 1, 2, 3], { ...raw, layout: 'NHWC', colors: 'bgr' })),
    [30, 20, 10, 60, 50, 40],
  )
  // Pillow says the same of these two pixels: convert('L') gives 18 and 48.
  assert.deepEqual(numbersOf(await tensorOf(bytes, [1, 1, 1, 2], raw)), [18, 48])
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [1, 3, 1, 2], { ...raw, mean: [10, 20, 30], std: [1, 2, 4] })),
    [0, 30, 0, 15, 0, 7.5],
  )
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [1, 1, 1, 2], { ...raw, mean: [8], std: [2] })),
    [5, 20],
  )
  assert.deepEqual(
    numbersOf(await tensorOf(bytes, [1, 3, 1, 2], { invert: true }, 'FP64')),
    [245, 215, 235, 205, 225, 195].map((byte) => byte * (1 / 255)),
  )
})

test('each datatype gets pixels in its own range', async () => {
  const bytes = await picture(3, [0, 128, 255], 1).png().toBuffer()
  const numbers = async (datatype: Datatype, image: ImageSettings = {}): Promise<number[]> =>
    numbersOf(await tensorOf(bytes, [1, 1, 1, 3], image, datatype))
  assert.deepEqual(await numbers('FP32'), [0, 128 / 255, 1].map(Math.fround))
  assert.deepEqual(await numbers('UINT8'), [0, 128, 255])
  assert.deepEqual(await numbers('INT32'), [0, 128, 255])
  assert.deepEqual(await numbers('INT8'), [0, 127, 127])
  assert.deepEqual(await numbers('INT8', { mean: [128] }), [-128, 0, 127])
  assert.deepEqual(await numbers('UINT8', { scale: 0.5, mean: [10] }), [0, 54, 118])
  // Bits of the half precision numbers 0, 0.50195 and 1.
  assert.deepEqual(await numbers('FP16'), [0, 0x3804, 0x3c00])
})

test('fit stretches, crops the centre or pads with black', async () => {
  // Four columns: black, white, white, black.
  const bytes = await picture(4, [0, 255, 255, 0], 1)
    .resize(40, 10, { kernel: 'nearest' })
    .png()
    .toBuffer()
  const columns = async (
    fit: 'fill' | 'cover' | 'contain',
    width: number,
    height: number,
  ): Promise<number[]> => numbersOf(await tensorOf(bytes, [1, 1, height, width], { fit, scale: 1 }))
  const stretched = await columns('fill', 4, 4)
  assert.deepEqual(stretched.slice(0, 4), stretched.slice(12))
  assert.ok(Number(stretched[0]) < 60 && Number(stretched[1]) > 195)
  assert.deepEqual(
    await columns('cover', 10, 10),
    Array.from({ length: 100 }, () => 255),
  )
  const padded = await columns('contain', 40, 40)
  assert.deepEqual(
    padded.slice(0, 40),
    Array.from({ length: 40 }, () => 0),
  )
  assert.equal(padded[20 * 40 + 20], 255)
})

test('orientation, transparency, grayscale, palettes, CMYK and 16 bits become plain RGB', async () => {
  const row = picture(2, [255, 0, 0, 0, 0, 255])
  // Orientation 6: the camera was turned, the first pixel belongs to the top.
  const turned = await row.clone().withMetadata({ orientation: 6 }).png().toBuffer()
  assert.deepEqual(
    numbersOf(await tensorOf(turned, [1, 2, 1, 3], RGB_ROWS)),
    [255, 0, 0, 0, 0, 255],
  )
  const flipped = await row.clone().withMetadata({ orientation: 2 }).png().toBuffer()
  assert.deepEqual(
    numbersOf(await tensorOf(flipped, [1, 1, 2, 3], RGB_ROWS)),
    [0, 0, 255, 255, 0, 0],
  )

  const clear = await picture(2, [200, 100, 50, 0, 200, 100, 50, 255], 4).png().toBuffer()
  const colour = [200, 100, 50]
  for (const [alpha, under] of [
    ['ignore', colour],
    ['black', [0, 0, 0]],
    ['white', [255, 255, 255]],
  ] as const) {
    const drawn = await tensorOf(clear, [1, 1, 2, 3], { ...RGB_ROWS, alpha })
    assert.deepEqual(numbersOf(drawn), [...under, ...colour], alpha)
  }
  assert.deepEqual(numbersOf(await tensorOf(clear, [1, 1, 2, 3], RGB_ROWS)), [...colour, ...colour])
  const onBlack = { ...RGB_ROWS, alpha: 'black' } as const
  const padded = await tensorOf(clear, [1, 3, 2, 3], { ...onBlack, fit: 'contain' })
  const black = [0, 0, 0, 0, 0, 0]
  assert.deepEqual(numbersOf(padded), [...black, 0, 0, 0, 200, 100, 50, ...black])

  const gray = await picture(2, [7, 250], 1).toColourspace('b-w').png().toBuffer()
  assert.equal(gray[25], 0, 'colour type of the PNG is grayscale')
  assert.deepEqual(
    numbersOf(await tensorOf(gray, [1, 1, 2, 3], RGB_ROWS)),
    [7, 7, 7, 250, 250, 250],
  )
  assert.deepEqual(numbersOf(await tensorOf(gray, [1, 1, 1, 2], { scale: 1 })), [7, 250])

  const palette = await row.clone().png({ palette: true }).toBuffer()
  assert.deepEqual(
    numbersOf(await tensorOf(palette, [1, 1, 2, 3], RGB_ROWS)),
    [255, 0, 0, 0, 0, 255],
  )

  for (const [channels, space] of [
    [1, 'grey16'],
    [3, 'rgb16'],
  ] as const) {
    const deep = await sharp(new Uint16Array(channels * 2).fill(0x8180), {
      raw: { width: 2, height: 1, channels },
    })
      .toColourspace(space)
      .png()
      .toBuffer()
    assert.equal(deep[24], 16, 'bits of the PNG')
    assert.deepEqual(numbersOf(await tensorOf(deep, [1, 1, 1, 2], { scale: 1 })), [129, 129])
  }

  const cmyk = await plain.clone().toColourspace('cmyk').jpeg().toBuffer()
  const [red = 0, green = 0, blue = 0] = numbersOf(await tensorOf(cmyk, [1, 1, 1, 3], RGB_ROWS))
  assert.ok(red > green && green > blue && Math.abs(red - 200) < 30, `${red} ${green} ${blue}`)
})

test('the first frame of an animation is taken', async () => {
  const animated = await sharp(Uint8Array.from([255, 255, 255, 0, 0, 0]), {
    raw: { width: 1, height: 2, channels: 3, pageHeight: 1 },
  })
    .gif({ delay: [50, 50] })
    .toBuffer()
  assert.equal((await sharp(animated).metadata()).pages, 2)
  assert.deepEqual(numbersOf(await tensorOf(animated, [1, 1, 1, 1], { scale: 1 })), [255])
})

test('images are found by their bytes, whatever their names are, and the rest is left to other codecs', async () => {
  const png = await plain.clone().png().toBuffer()
  const jpeg = await plain.clone().jpeg().toBuffer()
  const names = (...parameters: readonly WireParameter[]): number =>
    picturesOf(request(...parameters)).length
  assert.equal(names(parameter(png)), 1)
  assert.equal(names(parameter(png, 'application/octet-stream', 'data')), 1)
  assert.equal(names(parameter(png, 'IMAGE/JPEG')), 1)
  assert.deepEqual(
    picturesOf(request(parameter(png, 'image/png', 'a'), parameter(jpeg, 'image/jpeg', 'b'))),
    [png, jpeg],
  )
  assert.equal(names(parameter(Buffer.from('3'), '', 'k'), parameter(png, 'image/png', 'image')), 1)
  assert.equal(names(), 0)
  assert.equal(names(parameter(Buffer.alloc(0))), 0)
  assert.equal(names(parameter(Buffer.from('{"image": [[1, 2]]}'), 'application/json')), 0)
  // The start of a tensor may look like the start of a signature.
  for (const start of [
    'ffd8ff00',
    '89504e47',
    '4749463839',
    '49492a01',
    '0000001866747970',
    '424d080000',
  ]) {
    assert.equal(
      names(parameter(Buffer.from(start.padEnd(64, '0'), 'hex'), 'application/octet-stream')),
      0,
      start,
    )
  }
})

test('a body that is not a supported image is rejected, and the error names the supported formats', () => {
  const svg = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
  )
  const heic = Buffer.concat([
    Buffer.from('\0\0\0\u0018ftypheic\0\0\0\0mif1heic', 'latin1'),
    Buffer.alloc(99),
  ])
  const png = Buffer.from('89504e470d0a1a0a00', 'hex')
  const other = [
    [parameter(svg)],
    [parameter(svg, 'image/svg+xml')],
    [parameter(Buffer.concat([Buffer.from('\n <?xml version="1.0"?>'), svg]), 'image/png')],
    [parameter(heic, 'application/octet-stream', 'image')],
    [parameter(Buffer.from('BM'), 'image/x-icon')],
    [parameter(Buffer.from('x'), 'image/constructor')],
  ]
  for (const parameters of other) {
    assert.throws(
      () => picturesOf(request(...parameters)),
      failsWith('UnsupportedMediaTypeException', /send JPEG, PNG/),
    )
  }
  assert.throws(
    () => picturesOf(request(parameter(Buffer.alloc(0), 'image/png'))),
    failsWith('InvalidInputException', /is empty/),
  )
  assert.throws(
    () => picturesOf(request(parameter(Buffer.from('hello'), 'image/png'))),
    failsWith('InvalidInputException', /does not begin/),
  )
  const mixed = request(
    parameter(png, 'image/png', 'a'),
    parameter(Buffer.from('{}'), 'application/json', 'b'),
  )
  assert.throws(() => picturesOf(mixed), failsWith('InvalidInputException', /^"b" is not an image/))
})

test('broken, truncated and hostile images are rejected at once', async () => {
  const large = sharp({
    create: {
      width: 400,
      height: 300,
      channels: 3,
      background: 'black',
      noise: { type: 'gaussian', mean: 128, sigma: 40 },
    },
  })
  for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const) {
    const bytes = await large.clone().toFormat(format).toBuffer()
    for (const length of [bytes.length >> 1, 40]) {
      const cut = bytes.subarray(0, length)
      await assert.rejects(
        tensorOf(cut, [1, 3, 8, 8]),
        failsWith('InvalidInputException', /cannot be decoded: \S/),
        format,
      )
    }
  }
  const start = performance.now()
  for (const [width, height] of [
    [50_000, 50_000],
    [2 ** 24, 2 ** 24],
    [65_536, 1],
    [1, 16_000_000],
  ] as const) {
    await assert.rejects(
      tensorOf(pngOfSize(width, height), [1, 3, 8, 8]),
      failsWith(
        'PayloadTooLargeException',
        new RegExp(`^The image has ${width}×${height} pixels; the limit is`),
      ),
    )
  }
  for (const [width, height] of [
    [0, 0],
    [2 ** 31 - 1, 1],
    [10_000, 9_999],
  ] as const) {
    await assert.rejects(
      tensorOf(pngOfSize(width, height), [1, 3, 8, 8]),
      failsWith('InvalidInputException', /cannot be decoded: \S/),
    )
  }
  assert.ok(performance.now() - start < 15_000)
  // Even when the sniffing is got round, nothing but the six decoders runs.
  const svg = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
  )
  await assert.rejects(
    tensorOf(svg, [1, 3, 8, 8]),
    failsWith('InvalidInputException', /unsupported image format/),
  )
})

test('several images form the batch dimension of one tensor, as many as the input takes', async () => {
  const first = await picture(1, [1, 2, 3]).png().toBuffer()
  const second = await picture(1, [4, 5, 6]).png().toBuffer()
  const { tensor } = await imagesToTensor(
    [first, second],
    planImageInput(spec([-1, 3, 1, 1]), { scale: 1 }),
  )
  assert.deepEqual(tensor.shape, [2, 3, 1, 1])
  assert.deepEqual(numbersOf(tensor), [1, 2, 3, 4, 5, 6])
  const single = planImageInput(spec([1, 3, 1, 1]), {})
  await assert.rejects(
    imagesToTensor([first, second], single),
    failsWith('InvalidInputException', /takes 1 image in a request, but the request has 2/),
  )
  const huge = planImageInput(spec([-1, 3, 8192, 8192]), {})
  await assert.rejects(
    imagesToTensor([first, second], huge),
    failsWith('PayloadTooLargeException', /2 images/),
  )
})

test('the pixels of all images of a request are limited together', async () => {
  const one = pngOfSize(10_000, 9_999)
  const plan = planImageInput(spec([-1, 3, 8, 8]), {})
  await assert.rejects(
    imagesToTensor([one, one, one, one, one], plan),
    failsWith(
      'PayloadTooLargeException',
      /^The 5 images have 499950000 pixels together; the limit is 400000000/,
    ),
  )
  await assert.rejects(
    imagesToTensor([one, pngOfSize(50_000, 50_000)], plan),
    failsWith('PayloadTooLargeException', /^The image 2 of 2 has 50000×50000 pixels/),
  )
})

test('images keep their sizes where the model takes any', async () => {
  const plan = planImageInput(spec([-1, 1, -1, -1]), {
    resize: { shortestEdge: 2, longestEdge: 4 },
    kernel: 'nearest',
    scale: 1,
    mean: [-1],
  })
  const wide = await picture(4, [1, 2, 3, 4, 5, 6, 7, 8], 1).png().toBuffer()
  const high = await picture(2, [9, 9, 9, 9], 1).png().toBuffer()
  const alone = await imagesToTensor([high], plan)
  assert.deepEqual(alone.tensor.shape, [1, 1, 2, 2])
  await assert.rejects(
    imagesToTensor([wide, high], plan),
    failsWith('InvalidInputException', /different sizes after resizing, 2×2 .* Send one image/),
  )
  const { tensor, frame } = await imagesToTensor([wide, high], plan, true)
  assert.deepEqual([tensor.shape, frame], [[2, 1, 2, 4], { width: 4, height: 2 }])
  // The padding is 0 and not the number of a black pixel.
  assert.deepEqual(numbersOf(tensor), [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 0, 0, 10, 10, 0, 0])
  const line = await picture(6000, Array<number>(6000).fill(7), 1).png().toBuffer()
  const unlimited = planImageInput(spec([-1, 1, -1, -1]), { resize: { shortestEdge: 2 } })
  await assert.rejects(
    imagesToTensor([line], unlimited),
    failsWith('PayloadTooLargeException', /12000×2 pixels after resizing; the limit is 8192/),
  )
})

test('padding has its colour and place, also in gray and without a batch dimension', async () => {
  const white = await picture(2, [255, 255], 1).png().toBuffer()
  const padded = {
    fit: 'contain',
    kernel: 'nearest',
    padPosition: 'top-left',
    padColor: [10, 20, 30],
    scale: 1,
  } as const
  const rows = await tensorOf(white, [2, 2, 3], { ...padded, padColor: [10, 20, 30] })
  assert.deepEqual(rows.shape, [2, 2, 3])
  assert.deepEqual(numbersOf(rows), [255, 255, 255, 255, 255, 255, 10, 20, 30, 10, 20, 30])
  const planes = await tensorOf(white, [3, 2, 2], { ...padded, padColor: [114], colors: 'bgr' })
  assert.deepEqual(numbersOf(planes), [255, 255, 114, 114, 255, 255, 114, 114, 255, 255, 114, 114])
  const gray = await tensorOf(white, [1, 1, 2, 2], { ...padded, padColor: [10, 20, 30] })
  // As convert('L') of Pillow makes it of the colour.
  assert.deepEqual(numbersOf(gray), [255, 255, 18, 18])
})

test('settings that do not suit the input are reported when the model is loaded', () => {
  const cases: [TensorSpec, ImageSettings, RegExp][] = [
    [spec([1, 784]), {}, /the shape must be \[N,C,H,W\] or \[N,H,W,C\]/],
    [spec([1, 3, -1, -1]), {}, /width is open/],
    [spec([1, 3, -1, 20]), { width: 20 }, /height is open/],
    [spec([1, 3, 20, 20]), { width: 30 }, /sets width to 30/],
    [spec([1, 3, 20, 9000]), {}, /width is not between 1 and 8192/],
    [
      spec([1, 3, 20, 20]),
      { colors: 'grayscale' },
      /3 channels with layout NCHW, but colors "grayscale" requires 1/,
    ],
    [
      spec([1, 1, 20, 20]),
      { colors: 'rgb' },
      /1 channels with layout NCHW, but colors "rgb" requires 3/,
    ],
    [spec([1, 4, 20, 20]), {}, /the input has 4 channels/],
    [spec([1, 20, 20, 3]), { layout: 'NCHW' }, /the input has 20 channels/],
    [
      spec([1, 3, 20, 20]),
      { mean: [1, 2] },
      /image.mean has 2 values, but the input has 3 channels/,
    ],
    [spec([1, 1, 20, 20]), { std: [1, 2, 3] }, /image.std has 3 values/],
    [spec([1, 3, 20, 20], 'BYTES'), {}, /its datatype is BYTES/],
    [spec([1, 3, 20, 20]), { layout: 'CHW' }, /or the same without N; the layout is CHW/],
    [spec([1, 3, 20, 20]), { padColor: [1, 2] }, /"padColor" needs one value or three/],
    [spec([1, 3, 20, 20]), { resize: { width: 3 } }, /"resize" takes width and height/],
    [spec([1, 3, 20, 20], 'INT64'), {}, /cannot fill INT64/],
    [spec([1, 3, 20, 20], 'BOOL'), {}, /cannot fill BOOL/],
  ]
  for (const [input, image, pattern] of cases) {
    assert.throws(() => planImageInput(input, image), failsWith('InvalidModelException', pattern))
  }
  const open = planImageInput(spec([-1, -1, -1, -1]), { width: 5, height: 7 })
  assert.deepEqual(
    [open.isChannelsFirst, open.colors, open.geometry.width, open.geometry.height, open.count],
    [true, 'rgb', 5, 7, -1],
  )
})
