/** The models of ../shared with their examples, in the process of the test. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { checkExample } from '../../../helpers/example-checks.ts'
import type { SendParts } from '../../../helpers/example-checks.ts'
import type { ModelExample } from '../../../helpers/model-examples.ts'
import { loadModel, predict } from '../../../helpers/onnx-model.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'

/** Folders of models in ../shared that onnxruntime loads, each with its example. */
function sharedExamples(): [string, ModelExample][] {
  const text = readFileSync(sharedPath('models', 'models.json'), 'utf8')
  const { models }: { models: Record<string, { file: string; example?: ModelExample }> } =
    JSON.parse(text)
  return Object.entries(models).flatMap(([name, { file, example }]): [string, ModelExample][] =>
    example !== undefined && file.includes('/') ? [[sharedPath('models', name), example]] : [],
  )
}

testShared(
  'each model of ../shared that onnxruntime loads answers its example exactly, in JSON, raw bytes and multipart',
  {},
  async (t) => {
    const models = sharedExamples()
    assert.ok(models.length >= 25, `only ${models.length} models have an example`)
    for (const [folder, example] of models) {
      await t.test(path.basename(folder), async (part) => {
        const model = await loadModel(part, path.join(folder, '1'))
        const send: SendParts = (_model, parameters, headers) =>
          predict(model, { parameters, headers: Object.entries(headers) })
        await checkExample(send, folder, example)
      })
    }
  },
)
