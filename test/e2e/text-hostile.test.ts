/** Hostile texts get a clear 4xx on every path, and neither workers nor other requests notice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { workerPids } from '../helpers/observe.ts'
import { json, serve } from '../helpers/server.ts'
import { TINY_MODELS, tinyTextModels } from '../helpers/text-models.ts'

/** For each model, a request with a text, and one with a list of texts. */
const REQUESTS: Readonly<
  Record<string, readonly [one: (text: string) => object, many: (texts: string[]) => object]>
> = {
  classify: [(inputs) => ({ inputs }), (inputs) => ({ inputs })],
  zeroshot: [
    (inputs) => ({ inputs, candidate_labels: ['a', 'b'] }),
    (inputs) => ({ inputs, candidate_labels: ['a', 'b'] }),
  ],
  rank: [(query) => ({ query, texts: ['cat'] }), (texts) => ({ query: 'cat', texts })],
  tag: [(inputs) => ({ inputs }), (inputs) => ({ inputs })],
  answer: [
    (context) => ({ question: 'who ?', context }),
    (texts) => ({ inputs: texts.map((context) => ({ question: 'who ?', context })) }),
  ],
  fill: [(text) => ({ inputs: `${text} [MASK]` }), (inputs) => ({ inputs })],
  sparse: [(inputs) => ({ inputs }), (inputs) => ({ inputs })],
  embed: [(inputs) => ({ inputs }), (inputs) => ({ inputs })],
}
/** Paths of other servers, with the models that answer them and the member that has the texts. */
const PATHS: readonly (readonly [path: string, model: string, member: string])[] = [
  ['/v1/embeddings', 'embed', 'input'],
  ['/embed', 'embed', 'inputs'],
  ['/embed_all', 'embed', 'inputs'],
  ['/embed_sparse', 'sparse', 'inputs'],
  ['/predict', 'classify', 'inputs'],
  ['/tokenize', 'tag', 'inputs'],
]
const MEGABYTES = 'x'.repeat(3 * 1024 * 1024)
const MANY = Array<string>(10_000).fill('cat')

test('hostile texts get a clear 4xx, and the workers stay', async (t) => {
  const names = Object.keys(TINY_MODELS)
  assert.deepEqual(Object.keys(REQUESTS), names)
  const server = await serve(t, tinyTextModels(t), { workers: 1 })
  const pids = async (): Promise<unknown> =>
    Promise.all(names.map((name) => workerPids(server, name)))
  const before = await pids()
  const send = async (path: string, body: object): Promise<readonly [number, string]> => {
    const response = await server.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return [response.status, JSON.stringify(await json(response))]
  }
  const refused = async (
    path: string,
    body: object,
    status: number,
    message: RegExp,
  ): Promise<void> => {
    const [found, text] = await send(path, body)
    assert.equal(found, status, `${path}: ${text.slice(0, 200)}`)
    assert.match(text, message, path)
    assert.ok(text.length < 1000, `${path}: the error repeats the text`)
  }
  for (const [name, [one, many]] of Object.entries(REQUESTS)) {
    const path = `/predictions/${name}`
    await refused(path, one(MEGABYTES), 413, /3145\d+ characters; the maximum is 262144/)
    await refused(path, one('a \ud800 b'), 400, /surrogate/)
    await refused(path, many(MANY), 413, /10000 texts; the maximum is 2048/)
    await refused(path, { ...one('cat'), top_k: -1 }, 400, /top_k/)
    // The longest word that is allowed, one token for WordPiece.
    const [status, text] = await send(path, one('x'.repeat(262_000)))
    assert.equal(status, 200, `${name}: ${text.slice(0, 200)}`)
  }
  for (const [path, model, member] of PATHS) {
    const body = (texts: unknown): object => ({ model, [member]: texts })
    await refused(path, body(MEGABYTES), 413, /3145728 characters/)
    await refused(path, body('\udfff'), 400, /surrogate/)
    const texts = path === '/predict' ? MANY.map((text) => [text]) : MANY
    await refused(path, body(texts), 413, /10000 texts/)
  }
  await refused('/decode', { model: 'tag', ids: MANY.map(() => [5]) }, 413, /10000 texts/)
  await refused('/v1/embeddings', { model: 'embed', input: MANY.map(() => [5]) }, 413, /10000/)
  const tokens = { model: 'embed', input: MANY.map(() => 5) }
  await refused('/v1/embeddings', tokens, 413, /10002 tokens/)
  assert.deepEqual(await pids(), before)
})
