/** Texts of several requests that share a run of the model. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { tinyTextModel } from '../helpers/text-models.ts'

const WORDS = ['the cat sat', 'a dog', 'anna and bob live in berlin', 'fish', 'what is this ?']

function embed(server: TestServer, inputs: string): Promise<Response> {
  return server.fetch('/embed', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ inputs }),
  })
}

/** Tokens by kind. */
async function tokens(server: TestServer): Promise<readonly [text: number, padding: number]> {
  const page = await (await server.manage('/metrics')).text()
  const count = (kind: string): number =>
    Number(
      new RegExp(`^onnxd_text_tokens_total\\{.*kind="${kind}"\\} (\\d+)$`, 'm').exec(page)?.[1],
    )
  return [count('text'), count('padding')]
}

test('requests that arrive together share runs and get the same results', async (t) => {
  const folder = tinyTextModel(t, 'sentence', { suffix: 'Model', graph: 'hidden', width: 8 })
  writeFileSync(
    path.join(folder, 'model.json'),
    JSON.stringify({ batchSize: 32, maxBatchDelay: 200, text: { maxBatchTokens: 60 } }),
  )
  const server = await serve(t, [folder], { workers: 1 })
  const info = (await json(await server.fetch('/info'))) as { max_batch_tokens: number }
  assert.equal(info.max_batch_tokens, 60)
  const alone: number[][] = []
  for (const text of WORDS) {
    const response = await embed(server, text)
    assert.equal(response.headers.get('onnxd-tokens'), null, 'for the front-end only')
    alone.push(((await json(response)) as number[][])[0] ?? [])
  }
  // Two more for each text: [CLS] and [SEP].
  const words = WORDS.reduce((sum, text) => sum + text.split(' ').length + 2, 0)
  assert.deepEqual(await tokens(server), [words, 0])

  const texts = Array.from({ length: 40 }, (_, index) => WORDS[index % WORDS.length] ?? '')
  const together = await Promise.all(texts.map((text) => embed(server, text)))
  for (const [index, response] of together.entries()) {
    assert.equal(response.status, 200)
    const [vector = []] = (await json(response)) as number[][]
    const expected = alone[index % WORDS.length] ?? []
    assert.equal(vector.length, 8)
    for (const [column, value] of vector.entries()) {
      assert.ok(Math.abs(value - (expected[column] ?? NaN)) < 1e-5, `${index}: ${value}`)
    }
  }
  const [all, padding] = await tokens(server)
  assert.equal(all, words * 9)
  assert.ok(padding > 0, 'texts of different length shared a run')
})
