/** A tiny model in place of CenterFace: a red point of the image is the middle of a face. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import { floats, node, writeModel } from './onnx-builder.ts'
import type { ModelSource } from './onnx-builder.ts'

/** Pixels of the input for each number of the outputs. */
const STRIDE = 4
/** Height and width of each face, in pixels of the input. */
export const FACE_SIZE = [160, 80] as const

/** Copies the example and adds the model. Returns the folder. */
export function facesFolder(parent: string): string {
  const folder = path.join(parent, 'faces')
  cpSync('examples/handlers/faces', folder, { recursive: true })
  writeModel(path.join(folder, 'model.onnx'), faces())
  return folder
}

function faces(): ModelSource {
  const side = 640 / STRIDE
  const output = (name: string, channels: number) =>
    ({ name, type: 'FP32', shape: ['N', channels, side, side] }) as const
  return {
    inputs: [{ name: 'input.1', type: 'FP32', shape: ['N', 3, 640, 640] }],
    outputs: [output('537', 1), output('538', 2), output('539', 2), output('540', 10)],
    nodes: [
      node('AveragePool', ['input.1'], 'colors', {
        kernel_shape: [STRIDE, STRIDE],
        strides: [STRIDE, STRIDE],
      }),
      node('Split', ['colors'], ['red', 'green', 'blue'], { axis: 1 }),
      node('Sub', ['red', 'green'], 'reddish'),
      node('Div', ['reddish', 'white'], '537'),
      node('Mul', ['537', 'zero'], 'nothing'),
      node('Add', ['nothing', 'height'], 'heights'),
      node('Add', ['nothing', 'width'], 'widths'),
      node('Concat', ['heights', 'widths'], '538', { axis: 1 }),
      node('Concat', ['nothing', 'nothing'], '539', { axis: 1 }),
      node(
        'Concat',
        Array.from({ length: 10 }, () => 'nothing'),
        '540',
        { axis: 1 },
      ),
    ],
    constants: {
      white: floats([1], [255]),
      zero: floats([1], [0]),
      height: floats([1], [Math.log(FACE_SIZE[0] / STRIDE)]),
      width: floats([1], [Math.log(FACE_SIZE[1] / STRIDE)]),
    },
  }
}
