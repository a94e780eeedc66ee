import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { loadModel } from 'onnxd/testing'

const folder = new URL('.', import.meta.url)
const samples = JSON.parse(await readFile(new URL('samples.json', folder), 'utf8'))
const pumps = samples.map(({ pump }) => pump)
const model = await loadModel(folder)
after(() => model.close())

test('the scores are the probabilities of Python in percent', async () => {
  const response = await model.predict(pumps)
  const scores = (await response.json()).map(({ score }) => score)
  assert.deepEqual(
    scores,
    samples.map(({ probability }) => Math.round(100 * probability)),
  )
})

test('a table is CSV too, and the reasons are readings with a bad influence', async () => {
  const columns = Object.keys(pumps[0])
  const rows = pumps.map((pump) => columns.map((name) => pump[name]).join())
  const csv = [columns.join(), ...rows, ''].join('\n')
  const response = await model.predict(csv, { contentType: 'text/csv' })
  const [good, doubtful, bad] = await response.json()
  assert.deepEqual([good.action, doubtful.action, bad.action], ['none', 'inspect', 'stop'])
  assert.deepEqual(good.reasons, {})
  assert.ok(bad.reasons.pressure > 20, JSON.stringify(bad.reasons))
})

test('a reading that no sensor gives is rejected', async () => {
  const response = await model.predict([pumps[0], { ...pumps[1], pressure: 400 }])
  assert.equal(response.status, 422)
  assert.equal((await response.json()).message, 'Row 2: pressure is not from 0 to 40.')
})

const TOO_LARGE = 'Send at most 1000 rows in 200000 bytes.'

test('a table has at most 1000 rows', async () => {
  const send = (rows) => model.predict(Array.from({ length: rows }, () => pumps[0]))
  const most = await send(1000)
  assert.equal((await most.json()).length, 1000)
  const long = await send(1001)
  assert.equal(long.status, 413)
  assert.equal((await long.json()).message, TOO_LARGE)
})

test('a body that is far too long is not read, also in gzip', async () => {
  const csv = `${Object.keys(pumps[0]).join()}\n${Object.values(pumps[0]).join()}\n`
  const options = { contentType: 'text/csv' }
  const zipped = { ...options, headers: { 'Content-Encoding': 'gzip' } }
  const short = await model.predict(gzipSync(csv), zipped)
  assert.equal(short.status, 200)
  const long = csv + '\n'.repeat(200_000)
  for (const response of [
    await model.predict(long, options),
    await model.predict(gzipSync(long), zipped),
    await model.predict(','.repeat(1_000_000), options),
  ]) {
    assert.equal(response.status, 413)
    assert.equal((await response.json()).message, TOO_LARGE)
  }
})

test('columns have the same number of rows, and at least one', async () => {
  const columns = { kind: ['gear'], hours: [1], temperature: [60], vibration: [2], pressure: [6] }
  const good = await model.predict(columns)
  assert.equal(good.status, 200)
  const unequal = await model.predict({ ...columns, hours: [1, 2] })
  assert.equal(unequal.status, 422)
  assert.equal((await unequal.json()).message, 'The columns have different numbers of rows.')
  const none = await model.predict(
    Object.fromEntries(Object.keys(columns).map((name) => [name, []])),
  )
  assert.equal(none.status, 422)
  assert.equal((await none.json()).message, 'The table has no rows.')
})
