import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import sharp from 'sharp'
import { resample } from '../../../../../../src/worker/process/onnx/image/pixels/resample.ts'
import type {
  Kernel,
  Pixels,
} from '../../../../../../src/worker/process/onnx/image/pixels/resample.ts'
import { sharedPath, testShared } from '../../../../../helpers/shared.ts'

const KERNELS = ['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'] as const
/** The results of Pillow 13.0.0 for {@link pattern}: 4×3 as bytes, 17×10 as SHA-256. */
const PILLOW: Readonly<Record<Kernel, readonly [reduced: string, enlarged: string]>> = {
  nearest: [
    '3022ef9f6db6335d6aa27a3151791cc0c4e354b497c3d15e72d07fe11b46750bfae428c1',
    '8b297a1d4a2e290021c30338db4e805f47350189b5524b1acaf229732ac11cee',
  ],
  box: [
    '3025b8b289af337d6ca27d33517c3aa88bc7547e99c37f6072d38189775475808aab81a7',
    '8b297a1d4a2e290021c30338db4e805f47350189b5524b1acaf229732ac11cee',
  ],
  bilinear: [
    '4335b5a17db45e817695823e618559a595b36279a0b37b6a7fc5718e7f5d697f8aad77a6',
    '77923e95da4ec977b5fa81851d1f1e6bf1af858ada781b318c128c3ca5c08d2b',
  ],
  hamming: [
    '3a2cbcab81b24a7a749a7f395a8046b49fc4537aa1ba82667acd7893715167808ab176aa',
    'c91c7522442b96d7a7d00b7481cc835d315770a518b96e1218b2342c5e97ee03',
  ],
  bicubic: [
    '3a29bbab80ba5784719581365d864caf9abc5975a7ba796683cf718f7b53647f8bb278aa',
    'fd5593fd92198d467e9ca3e3bae0d18551ad11e3e49af5ffe85b0e5dc1656023',
  ],
  lanczos: [
    '3422c0b080c15687699080335d8a46b39bc05572adbd79648ad3728d7b4e607d8db87aad',
    '59964fef4e0df8d4bc35748ee58af0f6d867513d6e672374945d12d7faced574',
  ],
}
/** The square of 224 pixels that torchvision cuts out of `kitten.jpg` for ImageNet. */
const KITTEN = '11bcecbac9e3b792b7206bca98385b1372b6c1a3f68bf1c3cd4c36a892f8735f'

/** An image of 13×9 pixels with edges in all directions. */
function pattern(): Pixels {
  const data = new Uint8Array(13 * 9 * 3)
  for (let y = 0; y < 9; y++) {
    for (let x = 0; x < 13; x++) {
      const color = [x * 37 + y * 11, x * x * 5 + y * 29, 255 - x * 19 + y * y * 3]
      data.set(
        color.map((value) => value & 255),
        (y * 13 + x) * 3,
      )
    }
  }
  return { data, width: 13, height: 9, channels: 3 }
}

function wholeOf(width: number, height: number) {
  return { width, height, left: 0, top: 0, visibleWidth: width, visibleHeight: height }
}

function digest(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

test('every filter gives the bytes of Pillow, reduced and enlarged', () => {
  for (const kernel of KERNELS) {
    const [reduced, enlarged] = PILLOW[kernel]
    const small = resample(pattern(), wholeOf(4, 3), kernel, true)
    assert.deepEqual([small.width, small.height, small.channels], [4, 3, 3])
    assert.equal(Buffer.from(small.data).toString('hex'), reduced, kernel)
    assert.equal(digest(resample(pattern(), wholeOf(17, 10), kernel, true).data), enlarged, kernel)
  }
})

test('a visible part is the same as that part of the whole', () => {
  const size = fc.integer({ min: 1, max: 30 })
  const share = fc.double({ min: 0, max: 1, noNaN: true })
  fc.assert(
    fc.property(
      fc.constantFrom(...KERNELS),
      fc.boolean(),
      fc.tuple(size, size),
      fc.tuple(share, share, share, share),
      (kernel, antialias, [width, height], [a, b, c, d]) => {
        const whole = resample(pattern(), wholeOf(width, height), kernel, antialias)
        const left = Math.floor(a * (width - 1))
        const top = Math.floor(b * (height - 1))
        const visibleWidth = 1 + Math.floor(c * (width - left - 1))
        const visibleHeight = 1 + Math.floor(d * (height - top - 1))
        const target = { width, height, left, top, visibleWidth, visibleHeight }
        const part = resample(pattern(), target, kernel, antialias)
        assert.equal(part.data.length, visibleWidth * visibleHeight * 3)
        for (let row = 0; row < visibleHeight; row++) {
          const from = ((top + row) * width + left) * 3
          const at = row * visibleWidth * 3
          assert.deepEqual(
            part.data.subarray(at, at + visibleWidth * 3),
            whole.data.subarray(from, from + visibleWidth * 3),
          )
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('without antialias a reduced image uses the nearest pixels only', () => {
  const row = Uint8Array.of(0, 255, 0, 255, 0, 255, 0, 255)
  const image = { data: row, width: 8, height: 1, channels: 1 }
  assert.deepEqual([...resample(image, wholeOf(2, 1), 'bilinear', false).data], [128, 128])
  const lone = { ...image, data: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 200) }
  assert.deepEqual([...resample(lone, wholeOf(2, 1), 'bilinear', false).data], [0, 0])
  assert.equal(resample(lone, wholeOf(2, 1), 'bilinear', true).data[1], 36)
})

testShared('a photograph is resized and cropped as by torchvision', {}, async () => {
  const { data, info } = await sharp(readFileSync(sharedPath('images/kitten.jpg')))
    .raw()
    .toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  const middle = { left: 16, top: 16, visibleWidth: 224, visibleHeight: 224 }
  const target = { width: 256, height: 256, ...middle }
  const resized = resample({ data, width, height, channels }, target, 'bilinear', true)
  assert.equal(digest(resized.data), KITTEN)
})
