/** Needs the model: see fetch.py. FACES_FOLDER names another folder than /tmp/faces. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const folder = process.env.FACES_FOLDER ?? '/tmp/faces'
const isFetched = existsSync(path.join(folder, 'model.onnx'))
const page = await readFile(new URL('../ocr/samples/page.png', import.meta.url))

test('a page of text has no face', { skip: !isFetched && `no model in ${folder}` }, async (t) => {
  const model = await loadModel(folder)
  t.after(() => model.close())
  const response = await model.predict(page)
  assert.deepEqual(await response.json(), { faces: [] })
  const drawn = await model.predict(page, { headers: { Accept: 'image/*' } })
  assert.equal(drawn.headers.get('content-type'), 'image/jpeg')
  const text = await model.predict('no image')
  assert.equal(text.status, 400)
})
