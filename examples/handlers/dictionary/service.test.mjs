import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const model = await loadModel(new URL('.', import.meta.url))
after(() => model.close())

test('only the words of the file are in the dictionary', async () => {
  const lookUp = (word) => model.predict(undefined, { fields: { word } })
  const worker = await lookUp('worker')
  assert.equal(await worker.text(), 'worker: a process that holds a model\n')
  for (const word of ['dog', 'constructor', '__proto__']) {
    const response = await lookUp(word)
    assert.equal(response.status, 404)
    assert.equal(await response.text(), `${word}: not in this dictionary\n`)
  }
  const none = await lookUp('')
  assert.equal(none.status, 400)
})
