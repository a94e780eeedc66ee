/** Tiny models in place of those of the example `ocr`, and an image for them. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'
import type { Create } from 'sharp'
import { floats, integers, node, writeModel } from './onnx-builder.ts'
import type { ModelSource } from './onnx-builder.ts'

const EXAMPLE = 'examples/handlers/ocr'
const CHANNELS = ['blue', 'green', 'red'] as const
/** Pixels of the letters of {@link letterImage}. */
export const LETTER_SIDE = 24

/** Letters are squares: `a` is red, `b` is yellow. */
const COLORS: Readonly<Record<string, string>> = { a: '#ff0000', b: '#ffff00' }

/** Copies the three folders of the example and adds models. Returns the folder of the folders. */
export function ocrFolders(parent: string): string {
  const folder = path.join(parent, 'ocr')
  mkdirSync(folder)
  for (const name of ['ocr', 'ocr-detector', 'ocr-reader']) {
    cpSync(path.join(EXAMPLE, name), path.join(folder, name), { recursive: true })
    rmSync(path.join(folder, name, 'model.onnx'), { force: true })
  }
  writeModel(path.join(folder, 'ocr-detector', 'model.onnx'), detector())
  writeModel(path.join(folder, 'ocr-reader', 'model.onnx'), reader())
  writeFileSync(path.join(folder, 'ocr-reader', 'labels.txt'), 'a\nb\n')
  return folder
}

/** A white image with words of letters `a` and `b`. A place is the left top corner of a word. */
export function letterImage(
  width: number,
  height: number,
  words: Readonly<Record<string, readonly [left: number, top: number]>>,
): Promise<Buffer> {
  const squares = Object.entries(words).flatMap(([word, [left, top]]) =>
    Array.from(word, (letter, index) => ({
      input: square(COLORS[letter] ?? '#ffffff'),
      left: left + index * LETTER_SIDE,
      top,
    })),
  )
  const white = { width, height, channels: 3, background: '#ffffff' } as const
  return sharp({ create: white }).composite(squares).png().toBuffer()
}

function square(background: string): { readonly create: Create } {
  return { create: { width: LETTER_SIDE, height: LETTER_SIDE, channels: 3, background } }
}

/** How much more red than blue a pixel has: 1 for letters; 0 for white, and for black margins. */
function detector(): ModelSource {
  return {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3, 'H', 'W'] }],
    outputs: [{ name: 'sigmoid_0.tmp_0', type: 'FP32', shape: ['N', 1, 'H', 'W'] }],
    nodes: [
      node('Split', ['x'], CHANNELS, { axis: 1 }),
      node('Sub', ['red', 'blue'], 'difference'),
      node('Mul', ['difference', 'half'], 'sigmoid_0.tmp_0'),
    ],
    constants: { half: floats([1], [0.5]) },
  }
}

/** Scores of nothing, `a` and `b`: one step for each eight pixels of the width. */
function reader(): ModelSource {
  return {
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3, 48, 'W'] }],
    outputs: [{ name: 'softmax_11.tmp_0', type: 'FP32', shape: ['N', 'T', 3] }],
    nodes: [
      node('AveragePool', ['x'], 'means', { kernel_shape: [48, 8], strides: [48, 8] }),
      node('Squeeze', ['means', 'second'], 'columns'),
      node('Split', ['columns'], CHANNELS, { axis: 1 }),
      node('Sub', ['red', 'blue'], 'warm'),
      node('Min', ['warm', 'one'], 'letter'),
      node('Sub', ['red', 'green'], 'reddish'),
      node('Min', ['reddish', 'one'], 'a'),
      node('Sub', ['letter', 'a'], 'b'),
      node('Sub', ['one', 'letter'], 'nothing'),
      node('Concat', ['nothing', 'a', 'b'], 'classes', { axis: 1 }),
      node('Transpose', ['classes'], 'softmax_11.tmp_0', { perm: [0, 2, 1] }),
    ],
    constants: { one: floats([1], [1]), second: integers(2) },
  }
}
