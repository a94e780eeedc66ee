/** Embeddings with the official Python client of OpenAI. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const environment = process.env['ONNXD_INTEROP_OPENAI']

test(
  'the Python client of OpenAI gets the vectors of the model',
  { skip: environment === undefined && 'needs Python with openai; run npm run test:interop' },
  async (t) => {
    const model = tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
    const server = await serve(t, [model], { workers: 1 })
    const texts = ['the cat sat', 'a dog', 'anna and bob live in berlin']
    const response = await server.fetch('/predictions/sentence', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(texts),
    })
    const tokenized = await server.fetch('/tokenize', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ inputs: texts, add_special_tokens: false }),
    })
    const ids = ((await json(tokenized)) as { id: number }[][]).map((one) =>
      one.map(({ id }) => id),
    )
    const expected = path.join(temporaryFolder(t), 'expected.json')
    writeFileSync(expected, JSON.stringify({ texts, ids, vectors: await json(response) }))
    const python = path.join(environment ?? '', 'bin', 'python')
    const script = path.resolve('test/interop/openai_checks.py')
    const { stdout } = await promisify(execFile)(python, [script, server.inferenceUrl, expected])
    assert.equal(stdout, 'done\n')
  },
)
