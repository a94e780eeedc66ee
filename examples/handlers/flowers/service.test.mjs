import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const model = await loadModel(new URL('.', import.meta.url))
after(() => model.close())

test('names the species of a flower', async () => {
  const flower = { sepalLength: 5.8, sepalWidth: 2.7, petalLength: 5.1, petalWidth: 1.9 }
  const response = await model.predict(flower)
  const { species, probability } = await response.json()
  assert.equal(species, 'virginica')
  assert.ok(probability > 0.9)
})

test('says which numbers are missing', async () => {
  const response = await model.predict({ sepalLength: 5.8 })
  assert.equal(response.status, 400)
  assert.match((await response.json()).message, /^Send JSON with the numbers sepalLength/)
})

test('converts nothing to a number', async () => {
  const flower = { sepalLength: 5.8, sepalWidth: 2.7, petalLength: 5.1, petalWidth: 1.9 }
  for (const petalWidth of [{ valueOf: 1, toString: 1 }, '0x10', '', null, [1.9], true]) {
    const response = await model.predict({ ...flower, petalWidth })
    assert.equal(response.status, 400, JSON.stringify(petalWidth))
  }
})
