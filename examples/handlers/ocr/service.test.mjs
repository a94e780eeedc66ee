/** Needs the models: sh examples/handlers/ocr/fetch.sh /tmp/ocr. OCR_FOLDER names another folder. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const folder = process.env.OCR_FOLDER ?? '/tmp/ocr'
const isFetched = existsSync(path.join(folder, 'ocr-reader', 'model.onnx'))
const page = await readFile(new URL('samples/page.png', import.meta.url))

test('reads a page', { skip: !isFetched && `no models in ${folder}` }, async (t) => {
  const load = async (name, options) => {
    const model = await loadModel(path.join(folder, name), options)
    t.after(() => model.close())
    return model
  }
  const models = {
    'ocr-detector': await load('ocr-detector'),
    'ocr-reader': await load('ocr-reader'),
  }
  const ocr = await load('ocr', { models })
  const response = await ocr.predict(page, { headers: { Accept: 'text/plain' } })
  const lines = (await response.text()).split('\n')
  assert.deepEqual(lines.slice(0, 2), ['Invoice 2041', 'Coffee machine 129.90'])
})
