/** Models with code that a test writes, and ONNX models that crash or never end. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { node, writeModel } from '../helpers/onnx-builder.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'

/** The smallest 32-bit integer divided by -1 traps on x86, in onnxruntime as everywhere. */
export const LEAST = -2_147_483_648

const SCRIPT_SERVICE = `
const AsyncFunction = (async () => {}).constructor
export function handle(data, context) {
  if (!data) return
  return new AsyncFunction('data', 'context', data[0].body)(data, context)
}
`

/**
 * Writes the folder of a model whose handler runs the JavaScript in the first request of a batch.
 */
export function scriptModel(t: Cleanup, name: string, settings: object = {}): string {
  return codeModel(t, name, SCRIPT_SERVICE, settings)
}

/** Writes the folder of a model with this handler. */
export function codeModel(t: Cleanup, name: string, code: string, settings: object = {}): string {
  const folder = path.join(temporaryFolder(t), name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'service.mjs'), code)
  const model = { handler: 'service.mjs:handle', ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(model))
  return folder
}

/**
 * Writes a model that divides `a` by `b`, two lists of 32-bit integers of any length. A run of
 * `Div` with eight integers uses instructions that do not trap; `Mod` traps with any number of
 * them.
 */
export function divisionModel(t: Cleanup, name: string, operator: 'Div' | 'Mod' = 'Div'): string {
  const folder = path.join(temporaryFolder(t), name)
  mkdirSync(folder)
  const value = (of: string) => ({ name: of, type: 'INT32', shape: ['n'] }) as const
  writeModel(path.join(folder, 'model.onnx'), {
    nodes: [node(operator, ['a', 'b'], 'c')],
    inputs: [value('a'), value('b')],
    outputs: [value('c')],
  })
  return folder
}

/**
 * The body of a request to a {@link divisionModel}. Spaces change its bytes but not its numbers.
 */
export function division(a: number, b: number, spaces = 0): string {
  return `{${' '.repeat(spaces)}"a":[${a}],"b":[${b}]}`
}

/** Writes a model whose run never ends. */
export function endlessFolder(t: Cleanup, name: string): string {
  const folder = path.join(temporaryFolder(t), name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.onnx'), endlessModel())
  writeFileSync(path.join(folder, 'model.json'), '{"warmUp":false}')
  return folder
}
