/** A store of small models, each of which adds another number to its input. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { floats, modelBytes, node } from './onnx-builder.ts'
import type { Cleanup, TestServer } from './server.ts'
import { temporaryFolder } from './server.ts'

/** The bytes of a model that adds `number` to each element. */
export function addingModel(number: number): Buffer {
  return modelBytes({
    inputs: [{ name: 'x', type: 'FP32', shape: ['n'] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['n'] }],
    nodes: [node('Add', ['x', 'number'], ['y'])],
    constants: { number: floats([1], [number]) },
  })
}

/** A model store with the models `m1` to `m<count>`; model `m7` adds 7. Removed after the test. */
export function numberedStore(t: Cleanup, count: number): string {
  const store = path.join(temporaryFolder(t), 'store')
  for (let number = 1; number <= count; number += 1) writeNumbered(store, `m${number}`, number)
  return store
}

/** Writes one model of a store, with an optional `model.json`. */
export function writeNumbered(
  store: string,
  name: string,
  number: number,
  settings?: object,
): void {
  const folder = path.join(store, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'model.onnx'), addingModel(number))
  if (settings !== undefined)
    writeFileSync(path.join(folder, 'model.json'), JSON.stringify(settings))
}

/** The status of a request to a model, and the number that it added or the text of the error. */
export async function addedBy(
  server: Pick<TestServer, 'fetch'>,
  name: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number | string> {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [2], data: [0.5, 1.5] }]
  const response = await server.fetch(`/v2/models/${name}/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ inputs }),
  })
  const text = await response.text()
  if (response.status !== 200) return `${response.status} ${text}`
  const { outputs } = JSON.parse(text) as { outputs: [{ data: [number, number] }] }
  const [first, second] = outputs[0].data
  return second - first === 1 ? first - 0.5 : `wrong: ${text}`
}
