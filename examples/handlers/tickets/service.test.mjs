import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { loadModel } from 'onnxd/testing'

const folder = new URL('.', import.meta.url)
const samples = JSON.parse(await readFile(new URL('samples.json', folder), 'utf8'))
const model = await loadModel(folder, { batchSize: samples.length })
after(() => model.close())

/** Begin and repeated part of messages that a pattern could read again and again. */
const LONG_MESSAGES = [
  ['x@', 'a-'],
  ['', 'a.'],
  ['', 'x@'],
  ['', 'x@a.'],
  ['x@', '.-'],
  ['x@a', '.-'],
  ['', '<a'],
  ['', '</'],
  ['<a>', '<b'],
  ['<a>', '<br '],
  ['<a>', '<script '],
  ['<a>', '<script>'],
  ['<a>', '</script>'],
  ['<a>', '<script></style>'],
  ['<a>', '<script></script>'],
  ['<a>', '&a'],
  ['<a>', ' \t'],
  ['<a>', ' \n'],
  ['', 'On wrote:'],
  ['', 'On a wrote:x\n'],
  ['a', '-'],
  ['', '---\r'],
  ['', '>\n'],
  ['', 'www.'],
  ['', 'http://'],
  ['', '1.'],
  ['', '1.1a'],
  ['', '12'],
  ['', '$1'],
  ['1', '1_'],
  ['', '\u00a0'],
  ['', `${'a.'.repeat(32)}@`],
  ['', `${'.a'.repeat(32)}@${'.-'.repeat(200)}`],
  ['', `${'a.'.repeat(31)}a@${'b.'.repeat(200)}`],
  ['', '1-1.1_'],
]
/** Cleaning takes less than a tenth of it; most goes to the tokenizer. CPU time, not a duration. */
const MOST_CPU_MICROSECONDS = 250_000

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

test('a message that no person writes takes no longer than another of its length', async () => {
  const measure = async (message) => {
    const before = process.cpuUsage()
    await model.predict(message)
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  for (const [start, unit] of LONG_MESSAGES) {
    const message = start + unit.repeat((19_990 - start.length) / unit.length)
    let cpu = Infinity
    for (let run = 0; run < 3 && cpu > MOST_CPU_MICROSECONDS; run++) {
      cpu = Math.min(cpu, await measure(message))
    }
    assert.ok(cpu < MOST_CPU_MICROSECONDS, `${start}${unit}…: ${cpu} µs`)
  }
})

test('a body without text is rejected, and no object becomes text', async () => {
  const bodies = [
    { message: { toString: 1 } },
    { message: { a: 1 } },
    { message: ['I forgot my password'] },
    { subject: 5, message: 'I forgot my password' },
    ['I forgot my password'],
    5,
  ]
  for (const body of bodies) {
    const response = await model.predict(JSON.stringify(body), { contentType: 'application/json' })
    assert.equal(response.status, 422, JSON.stringify(body))
    assert.match((await response.json()).message, /text/)
  }
  const missing = await model.predict({ subject: null, message: 'I forgot my password.' })
  assert.equal((await missing.json()).team, 'account')
})

test('a name of the language is no escaped character, and a script without end is text', async () => {
  const [plain, escaped] = await model.predictBatch([
    { body: '<p>I forgot my password &unknown;</p>' },
    { body: '<p>I forgot my password &constructor;</p>' },
  ])
  assert.deepEqual(await escaped.json(), await plain.json())
  const [written, hidden, open] = await model.predictBatch([
    { body: 'I forgot my password' },
    { body: 'I <script>if (the<app) crashes()</SCRIPT ><style>app</style>forgot my password' },
    { body: '<p>I forgot <script>my password' },
  ])
  const expected = await written.json()
  assert.deepEqual(await hidden.json(), expected)
  assert.deepEqual(await open.json(), expected)
})

test('other protocols are rejected, because their texts would not be cleaned', async () => {
  const text = { name: 'text', datatype: 'BYTES', shape: [1], data: ['I forgot my password'] }
  for (const [protocol, body] of [
    ['v1', { instances: ['I forgot my password'] }],
    ['v2', { inputs: [text] }],
  ]) {
    const response = await model.predict(body, { protocol })
    assert.equal(response.status, 400, protocol)
    assert.match(await response.text(), /Send messages to \/predictions/)
  }
})
