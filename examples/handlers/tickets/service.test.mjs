import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const folder = new URL('.', import.meta.url)
const samples = JSON.parse(await readFile(new URL('samples.json', folder), 'utf8'))
const model = await loadModel(folder, { batchSize: samples.length })
after(() => model.close())

test('the scores of a batch are those of Python', async () => {
  const responses = await model.predictBatch(samples.map(({ text }) => ({ body: text })))
  for (const [index, response] of responses.entries()) {
    const { scores } = await response.json()
    for (const [team, score] of Object.entries(samples[index].scores)) {
      assert.ok(Math.abs(scores[team] - score) < 0.001, `${team}: ${scores[team]}, not ${score}`)
    }
  }
})

test('mark-up, quoted mail and signatures do not count', async () => {
  const plain = await model.predict('I cannot log in, write to mailaddress or see weblink')
  const html = `<html><style>p { color: red }</style><p>I&nbsp;cannot log in,</p>
    write to <b>anna.lee@mail.example</b> or see https://shop.example/login?id=1<br>
    -- <br>The app crashes. My card was charged twice.
    > Where is my parcel?`
  const mail = await model.predict({ subject: '', message: html })
  assert.deepEqual(await mail.json(), await plain.json())
})

test('a form has a subject and a message', async () => {
  const fields = { subject: 'Refund', message: 'You charged my card twice, 20.50 euros.' }
  const response = await model.predict(undefined, { fields })
  assert.equal((await response.json()).team, 'billing')
})

test('unknown words give no team, and a message without text or a long one is rejected', async () => {
  const strange = await model.predict('xyzzy plugh')
  assert.equal((await strange.json()).team, 'unsure')
  const empty = await model.predict('<p> </p>')
  assert.equal(empty.status, 422)
  const long = await model.predict('a.'.repeat(10_001))
  assert.equal(long.status, 413)
})
