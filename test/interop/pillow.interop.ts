/** The image handler makes the same numbers as Pillow with torchvision's transforms. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { ImageSettings } from '../../src/model-folder/image-settings.ts'
import { prepareDecoder } from '../../src/worker/process/onnx/image/decode.ts'
import { planImageInput } from '../../src/worker/process/onnx/image/plan.ts'
import { readPreprocessor } from '../../src/worker/process/onnx/image/settings/preprocessor.ts'
import { imagesToTensor } from '../../src/worker/process/onnx/image/tensor.ts'
import { spec } from '../helpers/pictures.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { shared, sharedPath } from '../helpers/shared.ts'

const environment = process.env['ONNXD_INTEROP_PILLOW']
const script = path.resolve('test/interop/pillow_images.py')
/** Levels of 255, on average over a tensor. */
const MOST_DIFFERENCE = 1.5
/** For the cases that promise the bytes of Pillow; the rest is rounding to float32. */
const EXACT = 0.001

interface Case {
  readonly name: string
  readonly file: string
  readonly expected: string
  readonly shape: readonly number[]
  readonly settings: ImageSettings
  readonly preprocessor: object | null
}

test(
  'images become the numbers that Pillow and torchvision make of them',
  {
    skip:
      environment === undefined
        ? 'needs the Python package Pillow; run npm run test:interop'
        : shared === undefined && 'needs the folder ../shared',
  },
  async (t) => {
    prepareDecoder()
    const folder = temporaryFolder(t)
    const kitten = sharedPath('images/kitten.jpg')
    execFileSync(path.join(environment ?? '', 'bin', 'python'), [script, folder, kitten])
    const cases: readonly Case[] = JSON.parse(readFileSync(path.join(folder, 'cases.json'), 'utf8'))
    assert.ok(cases.length > 50)
    for (const { name, file, expected, shape, settings, preprocessor } of cases) {
      const bytes = readFileSync(file === 'kitten' ? kitten : path.join(folder, file))
      const base = preprocessor === null ? undefined : readPreprocessor(preprocessor)
      const plan = planImageInput(spec(shape), settings, base)
      const { tensor } = await imagesToTensor([bytes], plan)
      const wanted = readFileSync(path.join(folder, expected))
      assert.equal(tensor.data.byteLength, wanted.length, name)
      const { mean, maximum } = differenceOf(tensor.data, wanted, plan.tables)
      t.diagnostic(`${name}: mean ${mean.toFixed(4)}, maximum ${maximum.toFixed(2)} of 255`)
      const isExact = !/^(?:fast|yolo|on )/.test(name)
      assert.ok(mean < (isExact ? EXACT : MOST_DIFFERENCE), `${name}: ${mean}`)
    }
  },
)

/** The difference in levels of 255, whatever the standard deviation is. */
function differenceOf(
  data: ArrayLike<number | bigint>,
  wanted: Buffer,
  tables: readonly ArrayLike<number>[],
): { readonly mean: number; readonly maximum: number } {
  const size = data.length / tables.length
  const steps = tables.map((table) => (Number(table[255]) - Number(table[0])) / 255)
  let sum = 0
  let maximum = 0
  for (let index = 0; index < data.length; index++) {
    const step = steps[Math.floor(index / size)] ?? 1
    const difference =
      Math.abs(Number(data[index]) - wanted.readFloatLE(index * Float32Array.BYTES_PER_ELEMENT)) /
      step
    sum += difference
    maximum = Math.max(maximum, difference)
  }
  return { mean: sum / data.length, maximum }
}
