/** Forms: parts with odd headers and boundaries, for predictions and for uploads. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import * as fc from 'fast-check'
import Fastify from 'fastify'
import { pino } from 'pino'
import { Transfers } from '../../src/models/transfers/transfers.ts'
import { errorHandling } from '../../src/routes/http/error-handler.ts'
import { readMultipart } from '../../src/routes/http/form.ts'
import { readUpload } from '../../src/routes/management/upload.ts'
import type { App } from '../../src/routes/route-context.ts'
import { reportFigure } from '../faults/figures.ts'
import { size } from '../faults/harness.ts'
import { mutate } from '../helpers/mutate.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { watch } from '../helpers/watched-app.ts'
import { attack, corpusOf, oneOf } from './campaign.ts'

const COUNT = size(500, 1_000_000)
const BUDGET_MS = size(2000, 150_000)
const MET = 100_000
const BOUNDARY = 'x'
const MAX_BYTES = 100_000

/** A part of a form, as it is sent and as it must arrive. */
interface Part {
  readonly name: string
  readonly fileName: string | undefined
  readonly type: string | undefined
  readonly value: Buffer
}

/** Both ways in which the server reads forms, with its own errors. */
async function startForms(t: Cleanup): Promise<{ app: App; folder: string }> {
  const folder = temporaryFolder(t)
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
  errorHandling(app)
  watch(app)
  await app.register(multipart)
  app.post('/form', async (request) => {
    const parameters = await readMultipart(request, MAX_BYTES)
    return parameters.map(({ name, contentType, value }) => [
      name,
      contentType,
      value.toString('base64'),
    ])
  })
  const transfers = new Transfers(2, pino({ level: 'silent' }))
  app.post('/upload', async (request) => {
    const { file, fields } = await readUpload(request, { folder, maxBytes: MAX_BYTES, transfers })
    const content = file === undefined ? undefined : readFileSync(file.path).toString('base64')
    if (file !== undefined) await import('node:fs/promises').then(({ rm }) => rm(file.path))
    return { content, fileName: file?.fileName, fields }
  })
  t.after(() => app.close())
  return { app, folder }
}

async function send(
  app: App,
  url: string,
  payload: Buffer,
  boundary = BOUNDARY,
): Promise<{ status: number; body: unknown }> {
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` }
  const response = await app.inject({ method: 'POST', url, payload, headers })
  return { status: response.statusCode, body: JSON.parse(response.payload) }
}

function written(parts: readonly Part[], boundary: string): Buffer {
  const heads = parts.map(({ name, fileName, type, value }) =>
    Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"`),
      Buffer.from(fileName === undefined ? '' : `; filename="${fileName}"`),
      Buffer.from(type === undefined ? '' : `\r\nContent-Type: ${type}`),
      Buffer.from('\r\n\r\n'),
      value,
      Buffer.from('\r\n'),
    ]),
  )
  return Buffer.concat([...heads, Buffer.from(`--${boundary}--\r\n`)])
}

const token = fc.stringMatching(/^[A-Za-z0-9_.-]{1,20}$/)
const part: fc.Arbitrary<Part> = fc.record({
  name: token,
  fileName: fc.option(token, { nil: undefined }),
  type: fc.option(fc.constantFrom('image/png', 'application/json', 'application/octet-stream'), {
    nil: undefined,
  }),
  value: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
})
const boundaryText = fc.stringMatching(/^[A-Za-z0-9'()+_,./:=?-]{1,60}$/).map((text) => `b${text}`)

test('sound forms arrive part by part, whatever the boundary and the bytes', async (t) => {
  const { app } = await startForms(t)
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 6 }), boundaryText, async (parts, boundary) => {
      fc.pre(parts.every(({ value }) => !value.includes(`\r\n--${boundary}`)))
      const quoted = `"${boundary}"`
      const { status, body } = await send(app, '/form', written(parts, boundary), quoted)
      if (parts.some(({ name }) => name in {})) {
        assert.equal(status, 400, 'names that every object has are refused')
        return
      }
      assert.equal(status, 200, JSON.stringify(body))
      const arrived = (body as [string, string, string][]).map(([name, , value]) => [name, value])
      assert.deepEqual(
        arrived,
        parts.map(({ name, value }) => [name, value.toString('base64')]),
      )
    }),
    { numRuns: size(200, 20_000) },
  )
})

const SOUND = [
  written(
    [
      { name: 'model_name', fileName: undefined, type: undefined, value: Buffer.from('digits') },
      { name: 'model', fileName: 'm.onnx', type: 'image/png', value: Buffer.from([0, 13, 10, 45]) },
      { name: 'sha256', fileName: undefined, type: undefined, value: Buffer.from('ab') },
    ],
    BOUNDARY,
  ),
  written(
    [{ name: 'data', fileName: 'a.png', type: 'image/png', value: Buffer.alloc(9) }],
    BOUNDARY,
  ),
]
const WORDS = [
  '\r\n',
  '\r\n\r\n',
  '--x',
  '--x--',
  'Content-Disposition: form-data; ',
  "; filename*=UTF-8''%ff",
  '; charset=utf-16',
  'Content-Transfer-Encoding: base64\r\n',
  '"',
  '\\',
  '\0',
  '__proto__',
].map((text) => Buffer.from(text, 'latin1'))

test('damaged forms are refused as the fault of the client, or arrive', async (t) => {
  const { app, folder } = await startForms(t)
  const check = async (bytes: Buffer): Promise<void> => {
    for (const url of ['/form', '/upload']) {
      const { status, body } = await send(app, url, bytes)
      assert.ok(
        status === 200 || (status >= 400 && status < 500),
        `${url}: ${JSON.stringify(body)}`,
      )
      if (status === 200) continue
      const { code, type, message } = body as Record<string, unknown>
      assert.equal(code, status)
      assert.match(String(type), /^\w+Exception$/)
      assert.ok(!String(message).includes(folder))
    }
    assert.deepEqual(readdirSync(folder), [], path.basename(folder))
  }
  const mutant = (random: RandomNumbers): Buffer =>
    mutate(oneOf(SOUND, random), random, { words: WORDS, other: oneOf(SOUND, random) })
  const corpus = [...corpusOf('forms'), ...SOUND]
  const result = await attack({ corpus, count: COUNT, budgetMs: BUDGET_MS, mutant, check })
  reportFigure(t, {
    what: 'fuzz: forms',
    goal: '≥ 10⁵, 0 crashes',
    seen: `${result.inputs}, 0 crashes, seed ${result.seed}`,
    isMet: result.inputs >= MET,
  })
})
