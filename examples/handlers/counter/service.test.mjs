import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const model = await loadModel(new URL('.', import.meta.url))
after(() => model.close())

test('counts to the number', async () => {
  for (const body of ['2', ' 2\n', 2, Buffer.from('2')]) {
    const response = await model.predict(body)
    assert.equal(response.status, 200)
    assert.equal(await response.text(), '{"number":1}\n{"number":2}\n')
  }
})

test('rejects what is no number from 1 to 100', async () => {
  for (const body of ['', '0', '101', '-1', '1.5', '1e1', '0x10', { toString: 1 }, [5], true]) {
    const response = await model.predict(body)
    assert.equal(response.status, 400, JSON.stringify(body))
    assert.deepEqual(await response.json(), {
      code: 400,
      type: 'InvalidInputException',
      message: 'Send a number from 1 to 100.',
    })
  }
})
