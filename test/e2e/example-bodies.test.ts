/** Bodies that are no input of an example: each is rejected with a text that says what to send. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { after, test } from 'node:test'
import { facesFolder } from '../helpers/face-model.ts'
import { ocrFolders } from '../helpers/ocr-models.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const ofFile: Cleanup = { after: (run) => after(run as () => void) }
const folder = temporaryFolder(ofFile)
const ocr = ocrFolders(folder)
const OWN = ['counter', 'dictionary', 'flowers', 'pumps', 'tickets', 'words']
const MODELS = [
  'examples/iris',
  'examples/digits',
  ...OWN.map((name) => `examples/handlers/${name}`),
  facesFolder(folder),
  ...['ocr', 'ocr-detector', 'ocr-reader'].map((name) => path.join(ocr, name)),
]
const server = (): Promise<TestServer> => sharedServer(MODELS, { allowHandlers: true })

const JSON_TYPE = 'application/json'
/** Content type and body. */
const BODIES: readonly (readonly [type: string, body: string])[] = [
  ...['null', '5', 'true', '"text"', '[]', '[null]', '{}', '{"body":null}', ''].map(
    (body) => [JSON_TYPE, body] as const,
  ),
  ['text/plain', ''],
  ['application/octet-stream', ''],
  ['application/octet-stream', 'no image'],
  ['', ''],
]

/** Bodies that are inputs, with the beginning of the response. All others are wrong. */
const RIGHT: Readonly<Record<string, string>> = {
  'counter application/json 5': '{"number":1}',
  'tickets application/json "text"': '{',
  'words application/json "text"': '{\n  "words": 1\n}',
  'words text/plain ': '{\n  "words": 0\n}',
  // A table of no rows.
  'iris application/json []': '{"label":[]',
  'digits application/json []': '{"probabilities":[]',
  'iris application/octet-stream ': '{"label":[]',
  'digits application/octet-stream ': '{"probabilities":[]',
  'tickets application/octet-stream no image': '{',
  'words application/octet-stream no image': '{\n  "words": 2\n}',
  'words application/octet-stream ': '{\n  "words": 0\n}',
  'words  ': '{\n  "words": 0\n}',
}

for (const model of MODELS) {
  const name = path.basename(model)
  test(`${name}: a body that is no input is 4xx and says what to send`, async () => {
    const it = await server()
    for (const [type, body] of BODIES) {
      const what = `${name} ${type} ${body}`
      const response = await it.fetch(`/predictions/${name}`, {
        method: 'POST',
        headers: type === '' ? {} : { 'content-type': type },
        // A text would get a content type.
        body: Buffer.from(body),
      })
      const text = await response.text()
      const right = RIGHT[what]
      if (right !== undefined) {
        assert.equal(response.status, 200, `${what}: ${text}`)
        assert.ok(text.startsWith(right), `${what}: ${text}`)
        continue
      }
      assert.ok([400, 415, 422].includes(response.status), `${what}: ${response.status} ${text}`)
      const message =
        name === 'dictionary' ? text : (JSON.parse(text) as { message: string }).message
      assert.match(
        message,
        /send|expect|must|needs|has no|not valid|is not|image/i,
        `${what}: ${message}`,
      )
      assert.doesNotMatch(message, /TypeError|undefined|Cannot read|is not a function/, what)
    }
  })
}
