/** The charset of a content type: bodies in other charsets are read as such, or rejected. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { identityGraph, writeModelFolder } from '../helpers/onnx-builder.ts'
import { writePipeline } from '../helpers/pipelines.ts'
import { json, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { columnsGraph } from '../helpers/tables.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const folder = temporaryFolder(ofFile)
const texts = writeModelFolder(folder, 'texts', identityGraph({ type: 'BYTES', shape: ['N'] }))
const people = writeModelFolder(folder, 'people', columnsGraph({ age: 'FP32', city: 'BYTES' }))
const chain = writePipeline(folder, 'chain', [
  { model: 'texts', inputs: { x: 'a' }, outputs: { y: 'b' } },
])
const words = tinyTextModel(ofFile, 'words', {
  suffix: 'ForSequenceClassification',
  labels: ['bad', 'good'],
  graph: 'pooled',
  width: 2,
})

/** Returns what it gets. */
const ECHO = `
export async function handle(data) {
  if (data === undefined) return
  return data.map(({ body }) => ({ kind: Buffer.isBuffer(body) ? 'bytes' : typeof body, body }))
}`
function handler(): string {
  const own = path.join(folder, 'echo')
  mkdirSync(own)
  writeFileSync(path.join(own, 'service.mjs'), ECHO)
  writeFileSync(path.join(own, 'model.json'), JSON.stringify({ handler: 'service.mjs:handle' }))
  return own
}

const MODELS = [texts, people, chain, words, handler()]
const server = (): Promise<TestServer> => sharedServer(MODELS, { allowHandlers: true })

async function post(
  model: string,
  type: string,
  body: Buffer,
  headers = {},
): Promise<[status: number, body: unknown]> {
  const it = await server()
  const response = await it.fetch(model.startsWith('/') ? model : `/predictions/${model}`, {
    method: 'POST',
    headers: { 'content-type': type, ...headers },
    body: new Uint8Array(body),
  })
  return [response.status, await json(response)]
}

const TEXT = 'Zürich, déjà vu'
const big = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
const ENCODED: readonly (readonly [charset: string, encode: (text: string) => Buffer])[] = [
  ['utf-8', (text) => Buffer.from(text)],
  ['"UTF-8"', (text) => Buffer.from(text)],
  ['utf-16', (text) => Buffer.from(text, 'utf16le')],
  ['UTF-16', (text) => Buffer.from(`\ufeff${text}`, 'utf16le')],
  ['utf-16', (text) => big(`\ufeff${text}`)],
  ['utf-16le', (text) => Buffer.from(text, 'utf16le')],
  ['utf-16be', big],
  ['ISO-8859-1', (text) => Buffer.from(text, 'latin1')],
  ['windows-1252', (text) => Buffer.from(text, 'latin1')],
]

for (const [charset, encode] of ENCODED) {
  const at = encode('a').toString('hex')
  test(`charset=${charset} (${at}): text, JSON and CSV are read in it`, async () => {
    assert.deepEqual(await post('texts', `text/plain; charset=${charset}`, encode(TEXT)), [
      200,
      { y: [TEXT] },
    ])
    for (const model of ['texts', 'chain']) {
      const name = model === 'texts' ? 'x' : 'a'
      const body = encode(JSON.stringify({ [name]: [TEXT] }))
      const answer = await post(model, `application/json;charset=${charset}`, body)
      assert.deepEqual(answer, [200, { [model === 'texts' ? 'y' : 'b']: [TEXT] }], model)
    }
    const v2 = { inputs: [{ name: 'x', shape: [1], datatype: 'BYTES', data: [TEXT] }] }
    const [status, body] = await post(
      '/v2/models/texts/infer',
      `application/json; charset=${charset}`,
      encode(JSON.stringify(v2)),
    )
    assert.equal(status, 200, JSON.stringify(body))
    assert.deepEqual((body as { outputs: { data: unknown }[] }).outputs[0]?.data, [TEXT])
    const csv = encode(`city,age\n"${TEXT}",1.5\n`)
    for (const type of ['text/csv', 'text/csv; header=present']) {
      const answer = await post('people', `${type}; charset=${charset}`, csv)
      assert.deepEqual(answer, [200, { age_out: [[1.5]], city_out: [[TEXT]] }], type)
    }
    const packed = gzipSync(encode(TEXT))
    const coded = { 'content-encoding': 'gzip' }
    assert.deepEqual(await post('texts', `text/plain; charset=${charset}`, packed, coded), [
      200,
      { y: [TEXT] },
    ])
  })

  test(`charset=${charset} (${at}): handlers and text models get the text`, async () => {
    const type = `text/plain; charset=${charset}`
    const [, echoed] = await post('echo', type, encode(TEXT))
    assert.deepEqual(echoed, { kind: 'string', body: TEXT })
    const typed = `application/json; charset=${charset}`
    const [, decoded] = await post('echo', typed, encode(JSON.stringify([TEXT])))
    assert.deepEqual(decoded, { kind: 'object', body: [TEXT] })
    const [status, scores] = await post('words', type, encode('the good cat'))
    const [, expected] = await post('words', 'text/plain', Buffer.from('the good cat'))
    assert.deepEqual([status, scores], [200, expected])
  })
}

test('an unknown charset is 415 and says what to send; wrong bytes are 400', async () => {
  for (const type of ['text/plain', 'application/json', 'text/csv', 'application/x-ndjson']) {
    for (const model of ['people', 'echo', 'words']) {
      // A handler gets JSON lines and bytes of other types as they are.
      if (model !== 'people' && !/plain|json$/.test(type)) continue
      if (type === 'application/x-ndjson' && model !== 'people') continue
      const [status, body] = await post(model, `${type}; charset=klingon`, Buffer.from('{}'))
      const { message = '' } = body as { message?: string }
      assert.equal(status, 415, `${model} ${type} ${JSON.stringify(body)}`)
      assert.match(
        message,
        /^The charset "klingon" of the content type is not supported\. Send UTF-8/,
      )
    }
  }
  for (const model of ['texts', 'echo']) {
    const [status, body] = await post(model, 'text/plain; charset=utf-16le', Buffer.from('abc'))
    assert.deepEqual(status, 400, model)
    assert.match((body as { message: string }).message, /^The body is not valid utf-16le, but/)
  }
})

test('the charset of a body that is no text has no effect', async () => {
  const [status, body] = await post('echo', 'image/png; charset=klingon', Buffer.from('x'))
  assert.equal(status, 200)
  assert.equal((body as { kind: string }).kind, 'bytes')
  const raw = await post('people', 'application/octet-stream; charset=klingon', Buffer.from('x'))
  assert.notEqual(raw[0], 415)
})
