import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { declarationOf } from '../../../../src/command/offline/model-types/declaration.ts'
import { CLI } from '../../../helpers/server.ts'

test('names, datatypes and sizes become types', () => {
  const metadata = {
    inputs: [
      { name: 'input_ids', datatype: 'INT64', dimensions: ['batch', ''] },
      { name: 'any/one', datatype: 'BYTES', dimensions: [], anyShape: true },
    ],
    outputs: [{ name: 'scale', datatype: 'FP16', dimensions: [], labels: ['a', 'a', "b'"] }],
  }
  assert.equal(
    declarationOf(metadata, 'net.onnx'),
    `// Written by "onnxd types" from net.onnx. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** INT64 [batch,?] */
  readonly input_ids: Tensor<'int64', readonly [number, number]>
  readonly 'any/one': Tensor<'string'>
}

export interface Outputs {
  /** FP16 [] */
  readonly scale: Tensor<'float16', readonly []>
}

/** The class labels. */
export type Label = 'a' | "b'"

export type Model = OnnxModel<Inputs, Outputs, Label>
`,
  )
})

test('onnxd types writes the types of the example, although it has a handler', () => {
  const example = 'examples/handlers/flowers'
  const args = [CLI, 'types', example, '-o', '-']
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.equal(stdout, readFileSync(`${example}/model.d.ts`, 'utf8'), stderr)
})

test('onnxd types says that a handler has no .onnx file', () => {
  const args = [CLI, 'types', 'examples/handlers/counter', '-o', '-']
  const { stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(stderr, /^onnxd: .*The model has no \.onnx file\.\n$/)
  assert.equal(status, 1)
})

test('many labels stand one in each line', () => {
  const labels = Array.from({ length: 20 }, (_, index) => `class ${index}`)
  assert.match(
    declarationOf({ inputs: [], outputs: [], labels }, 'x'),
    /Label =\n  \| 'class 0'\n(?:.*\n){18}  \| 'class 19'\n/,
  )
})

test('very many labels are texts', () => {
  const labels = Array.from({ length: 2001 }, (_, index) => `class ${index}`)
  const text = declarationOf({ inputs: [], outputs: [], labels }, 'x')
  assert.match(text, /Label = string\n\nexport type Model = OnnxModel<Inputs, Outputs>\n/)
})

test('no name ends a comment, a line or a string', () => {
  const text = declarationOf(
    {
      inputs: [{ name: '"; evil()\n//', datatype: 'FP32', dimensions: ['*/ evil() /*'] }],
      outputs: [],
    },
    'a\nevil()',
  )
  assert.match(text, /from a\?evil\(\)\. Write/)
  assert.match(text, /\/\*\* FP32 \[\* \/ evil\(\) \/\*\] \*\//)
  assert.match(text, /readonly "\\"; evil\(\)\\n\/\/": Tensor/)
  assert.match(text, /export type Label = string\n/)
})
