/** The example of two models and a handler that calls them, with tiny models. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { loadFolder } from '../helpers/handler-folder.ts'
import { LETTER_SIDE, letterImage, ocrFolders } from '../helpers/ocr-models.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'

interface Line {
  readonly text: string
  readonly score: number
  readonly box: readonly number[]
}

const WORDS = { baba: [300, 160], ab: [40, 30], bab: [200, 36] } as const
const IN_ORDER = ['ab', 'bab', 'baba']

test('behind the server, the lines of an image are found and read', async (t) => {
  const folder = ocrFolders(temporaryFolder(t))
  const models = ['ocr', 'ocr-detector', 'ocr-reader'].map((name) => path.join(folder, name))
  const server = await serve(t, models, { allowHandlers: true })
  const body = await letterImage(480, 240, WORDS)
  const ask = (headers: Readonly<Record<string, string>>): Promise<Response> =>
    server.fetch('/predictions/ocr', { method: 'POST', headers, body })

  const { lines } = (await json(await ask({}))) as { lines: readonly Line[] }
  assert.deepEqual(
    lines.map(({ text }) => text),
    IN_ORDER,
  )
  for (const { text, box } of lines) checkBox(box, text)
  const plain = await ask({ accept: 'text/plain' })
  assert.equal(plain.headers.get('content-type'), 'text/plain; charset=utf-8')
  assert.equal(await plain.text(), 'ab\nbab\nbaba\n')

  const empty = await server.fetch('/predictions/ocr', {
    method: 'POST',
    body: await letterImage(50, 50, {}),
  })
  assert.deepEqual(await json(empty), { lines: [] })
  const text = await server.fetch('/predictions/ocr', { method: 'POST', body: 'no image' })
  assert.equal(text.status, 400)
})

test('each part is tested without a server', async (t) => {
  const folder = ocrFolders(temporaryFolder(t))
  const detector = await loadFolder(t, path.join(folder, 'ocr-detector'))
  const reader = await loadFolder(t, path.join(folder, 'ocr-reader'))
  const page = await letterImage(480, 240, WORDS)
  const found = (await (await detector.predict(page)).json()) as readonly Line[]
  assert.equal(found.length, 3)
  const line = await letterImage(72, 24, { aba: [0, 0] })
  const { text, score } = (await (await reader.predict(line)).json()) as Line
  assert.equal(text, 'aba')
  assert.ok(score > 0.8, String(score))
  assert.equal((await reader.predict('no image')).status, 400)

  const models = { 'ocr-detector': detector, 'ocr-reader': reader }
  const ocr = await loadFolder(t, path.join(folder, 'ocr'), { models })
  assert.deepEqual(await textsOf(ocr, page), IN_ORDER)
  const unsure = { ...models, 'ocr-reader': () => ({ text: '?', score: 0.4 }) }
  const other = await loadFolder(t, path.join(folder, 'ocr'), { models: unsure })
  assert.deepEqual(await textsOf(other, page), [])
})

test('an image with too many lines is rejected before a line is read', async (t) => {
  const folder = ocrFolders(temporaryFolder(t))
  let read = 0
  let count = 200
  const models = {
    'ocr-detector': () =>
      Array.from({ length: count }, (_, row) => ({ box: [0, row, 9, row + 1], score: 1 })),
    'ocr-reader': () => ({ text: `line ${++read}`, score: 1 }),
  }
  const ocr = await loadFolder(t, path.join(folder, 'ocr'), { models })
  const page = await letterImage(16, 256, {})
  assert.equal((await textsOf(ocr, page)).length, 200)
  count = 201
  read = 0
  const refused = await ocr.predict(page)
  assert.equal(refused.status, 413)
  const { message } = (await json(refused)) as { message: string }
  assert.equal(message, 'The image has 201 lines of text. Send an image with at most 200.')
  assert.equal(read, 0)
})

async function textsOf(
  model: Awaited<ReturnType<typeof loadFolder>>,
  page: Buffer,
): Promise<readonly string[]> {
  const { lines } = (await (await model.predict(page)).json()) as { lines: readonly Line[] }
  return lines.map(({ text }) => text)
}

/** The box is around the word, with a margin that is smaller than a letter. */
function checkBox(box: readonly number[], word: string): void {
  const [left, top] = WORDS[word as keyof typeof WORDS]
  const inner = [left, top, left + word.length * LETTER_SIDE, top + LETTER_SIDE]
  for (const [index, edge] of box.entries()) {
    const margin = ((inner[index] ?? 0) - edge) * (index < 2 ? 1 : -1)
    assert.ok(margin >= -1 && margin < LETTER_SIDE, `${word}: ${box.join()}`)
  }
}
