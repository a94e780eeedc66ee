/** The page `/playground`: its files, and what it reads from a real server. */
import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { describeModel } from '../../src/pages/playground/model/description.ts'
import type { ModelDescription } from '../../src/pages/playground/model/description.ts'
import { bodyOf, csvText, modesOf, newDraft } from '../../src/pages/playground/model/draft.ts'
import { requestHeaders, requestPath } from '../../src/pages/playground/request/request.ts'
import type { ModelRequest, RequestBody } from '../../src/pages/playground/request/request.ts'
import { viewsOf } from '../../src/pages/playground/result/views.ts'
import { freePort } from '../helpers/free-port.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { ownModels } from '../helpers/own-models.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { tinyTextModels } from '../helpers/text-models.ts'

const cleanups: (() => unknown)[] = []
const cleanup = { after: (run: unknown) => cleanups.push(run as () => unknown) }
after(async () => {
  for (const undo of cleanups.toReversed()) await undo()
})

const texts = tinyTextModels(cleanup, ['answer', 'embed', 'zeroshot', 'tag'])
const handler = handlerModel(cleanup, 'handler')
/** A model with the name of the page. */
const namesake = path.join(temporaryFolder(cleanup), 'playground')
cpSync(path.resolve('examples/iris'), namesake, { recursive: true })

const server = (): Promise<TestServer> =>
  sharedServer(
    [
      path.resolve('examples/digits'),
      namesake,
      path.join(ownModels(), 'simple'),
      path.join(ownModels(), 'simple_string'),
      path.join(ownModels(), 'mlp.onnx'),
      handler,
      ...texts,
    ],
    { allowHandlers: true },
  )

test('the page loads files of its server only, and nothing inline', async () => {
  const { fetch } = await server()
  const page = await fetch('/playground')
  assert.equal(page.status, 200)
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self';/)
  assert.match(policy, /frame-ancestors 'none'/)
  assert.doesNotMatch(policy, /unsafe|https?:|\*/)
  const html = await page.text()
  assert.doesNotMatch(html, /<script(?! src=)|<style|\bon\w+=|style=/)
  const files = [...html.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(([, file]) => file)
  assert.deepEqual(files, ['playground/playground.css', 'playground/playground.js'])
  for (const [file, type] of [
    ['playground.css', 'text/css; charset=utf-8'],
    ['playground.js', 'text/javascript; charset=utf-8'],
  ] as const) {
    const response = await fetch(`/playground/${file}`)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), type)
    assert.ok((await response.text()).length > 1000)
  }
})

test('the URL with a slash at its end leads to the page', async () => {
  const { fetch } = await server()
  const response = await fetch('/playground/', { redirect: 'manual' })
  assert.equal(response.status, 308)
  assert.equal(response.headers.get('location'), '../playground')
})

test('a model may have the name of the page', async () => {
  const { fetch } = await server()
  const body = '{"features": [[5.1, 3.5, 1.4, 0.2]]}'
  const headers = { 'content-type': 'application/json' }
  const response = await fetch('/playground/predict', { method: 'POST', body, headers })
  assert.equal(response.status, 200)
  assert.match(await response.text(), /setosa/)
})

test('the page is on the listener for predictions, not on that for management', async () => {
  const { manage } = await server()
  assert.equal((await manage('/playground')).status, 404)
})

test('on a combined port the page needs no management token', async (t) => {
  const port = await freePort()
  const combined = await serve(t, [], { port, managementPort: port, managementToken: 'secret' })
  assert.equal((await combined.fetch('/playground')).status, 200)
})

async function describe(model: string): Promise<ModelDescription> {
  const { fetch } = await server()
  const metadata = await json(await fetch(`/v2/models/${model}`))
  return describeModel(metadata, await json(await fetch(`/v2/models/${model}/openapi.json`)))
}

/** Sends a request as the page does. */
async function send(model: string, body: RequestBody): Promise<Response> {
  const { fetch, inferenceUrl } = await server()
  const common = { version: undefined, hasToken: false, server: `${inferenceUrl}/` }
  const request: ModelRequest = { ...common, model, body }
  return fetch(`/${requestPath(request)}`, {
    method: 'POST',
    headers: Object.fromEntries(requestHeaders(request)),
    body: body.kind === 'file' ? '' : body.text,
  })
}

test('the fields of each model are an example that the model accepts', async () => {
  const { fetch } = await server()
  const { models } = (await json(await fetch('/v2/models'))) as { models: string[] }
  assert.equal(models.length, 10)
  for (const model of models.filter((name) => name !== 'digits')) {
    const description = await describe(model)
    const draft = newDraft(description)
    const body = bodyOf(draft, description) ?? assert.fail(model)
    const response = await send(model, body)
    const text = await response.text()
    // The strings of this model must be numbers.
    if (model === 'simple_string') {
      assert.equal(response.status, 400, text)
      continue
    }
    assert.equal(response.status, 200, `${model}: ${text}`)
    const sent: unknown = body.kind === 'json' ? JSON.parse(body.text) : undefined
    const views = viewsOf(text, description, sent)
    assert.equal(views.length > 0, model !== 'handler', model)
  }
})

test('the form of a table has the names of its columns, also as CSV', async () => {
  const description = await describe('playground')
  const draft = newDraft(description)
  assert.deepEqual(modesOf(description.form), ['fields', 'json', 'csv', 'file'])
  assert.equal(
    csvText(draft, description),
    'sepal_length,sepal_width,petal_length,petal_width\n0.5,0.5,0.5,0.5\n',
  )
  const body = bodyOf({ ...draft, mode: 'csv' }, description) ?? assert.fail()
  const response = await send('playground', body)
  assert.equal(response.status, 200)
  const views = viewsOf(await response.text(), description, undefined)
  assert.deepEqual(
    views.map(({ kind }) => kind),
    ['table', 'bars'],
  )
  const [, bars] = views
  assert.ok(bars?.kind === 'bars')
  assert.deepEqual(
    bars.bars.map(({ label }) => label),
    ['setosa', 'versicolor', 'virginica'],
  )
})

test('an image model takes a file, and a handler takes any body', async () => {
  const digits = await describe('digits')
  assert.equal(digits.form.kind, 'image')
  assert.deepEqual(bodyOf(newDraft(digits), digits), {
    kind: 'file',
    name: 'image.jpg',
    type: 'image/jpeg',
  })
  const own = await describe('handler')
  assert.deepEqual(modesOf(own.form), ['json', 'plain', 'file'])
})

test('each task has its fields, with the texts of an example', async () => {
  const fieldsOf = async (model: string): Promise<string[][]> => {
    const { form } = await describe(model)
    assert.ok(form.kind === 'text')
    return form.variants.map(({ fields }) => fields.map(({ name }) => name))
  }
  assert.deepEqual(await fieldsOf('answer'), [['question', 'context']])
  assert.deepEqual(await fieldsOf('tag'), [['inputs']])
  assert.deepEqual(await fieldsOf('zeroshot'), [['inputs', 'candidate_labels'], ['inputs']])
  assert.deepEqual(await fieldsOf('embed'), [['inputs'], ['source_sentence', 'sentences']])
})

test('similarities have the texts of the request as their labels', async () => {
  const description = await describe('embed')
  const body = bodyOf({ ...newDraft(description), variant: 1 }, description)
  assert.ok(body?.kind === 'json')
  const response = await send('embed', body)
  const [view] = viewsOf(await response.text(), description, JSON.parse(body.text))
  assert.ok(view?.kind === 'bars')
  assert.deepEqual(
    view.bars.map(({ label }) => label),
    ['A cat is on a mat.', 'Paris is in France.'],
  )
})

test('a wrong cell goes to the server, which says what is wrong', async () => {
  const description = await describe('playground')
  const draft = newDraft(description)
  const rows = [['5.1', 'high', '1.4', '0.2']]
  const body = bodyOf({ ...draft, tensors: [{ kind: 'grid', rows }] }, description)
  const response = await send('playground', body ?? assert.fail())
  assert.equal(response.status, 400)
  assert.match(await response.text(), /features/)
})
