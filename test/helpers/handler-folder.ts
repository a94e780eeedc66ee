/** Folders with a handler and an ONNX model, loaded in the process of the test. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { loadModel } from '../../src/testing/testing.ts'
import type { LoadOptions, TestModel } from '../../types/testing.d.ts'
import { floats, modelBytes, node } from './onnx-builder.ts'
import type { ModelSource } from './onnx-builder.ts'
import { temporaryFolder } from './server.ts'
import type { Cleanup } from './server.ts'

/** `sum = a + b` and `scaled = 10 a`, for each row of two numbers. */
export const SUMS: ModelSource = {
  inputs: ['a', 'b'].map((name) => ({ name, type: 'FP32', shape: ['N', 2] })),
  outputs: ['sum', 'scaled'].map((name) => ({ name, type: 'FP32', shape: ['N', 2] })),
  nodes: [node('Add', ['a', 'b'], 'sum'), node('Mul', ['a', 'ten'], 'scaled')],
  constants: { ten: floats([1], [10]) },
}

/** Writes a folder with the files; values that are no text are written as JSON. */
export function handlerFolder(
  t: Cleanup,
  files: Readonly<Record<string, unknown>>,
  model: ModelSource | null = SUMS,
): string {
  const folder = path.join(temporaryFolder(t), 'model')
  mkdirSync(folder)
  if (model !== null) writeFileSync(path.join(folder, 'model.onnx'), modelBytes(model))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(
      path.join(folder, name),
      typeof content === 'string' ? content : JSON.stringify(content),
    )
  }
  return folder
}

/** Loads `service.mjs` with the code. It is closed after the test. */
export async function loadHandler(
  t: Cleanup,
  code: string,
  options: LoadOptions = {},
  model: ModelSource | null = SUMS,
): Promise<TestModel> {
  const folder = handlerFolder(t, { 'service.mjs': code }, model)
  return loadFolder(t, folder, { handler: 'service.mjs', ...options })
}

/** Loads a folder. It is closed after the test. */
export async function loadFolder(
  t: Cleanup,
  folder: string,
  options: LoadOptions = {},
): Promise<TestModel> {
  const model = await loadModel(folder, options)
  t.after(() => model.close())
  return model
}
