/**
 * The program in `dist/` must do the same as the file-by-file build, which unit tests use. Both get
 * the same requests, including every operation of their OpenAPI documents, and must send the same
 * responses.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { assertSame } from '../helpers/same.ts'
import { CLI, json, start, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const FILE_BY_FILE = path.resolve('build/src/cli.js')
const METHODS = ['get', 'post', 'put', 'delete', 'options']
/** For the parameters of paths. */
const VALUES: Readonly<Record<string, string>> = { version: '1.0', model_version: '1.0' }
const JSON_TYPE = { 'content-type': 'application/json' }

/** One request and the name of its listener. */
type Request = readonly [listener: 'fetch' | 'manage', route: string, init: RequestInit]

test('B1: both builds give the same response to each operation, with a state folder and a config file', async (t) => {
  const answers = await Promise.all([CLI, FILE_BY_FILE].map((cli) => answersOf(t, cli)))
  const [bundled = [], separate = []] = answers
  assert.ok(bundled.length > 80, `${bundled.length} answers`)
  assertSame(bundled, separate)
  assert.deepEqual(
    bundled.filter((line) => / 500 /.test(line)),
    [],
  )
})

test('both builds print the same help and say the same of mistakes', () => {
  for (const args of [['version'], ['help'], ['help', 'serve'], ['frobnicate'], ['serve', '--x']]) {
    const [bundled, separate] = [CLI, FILE_BY_FILE].map((cli) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
        encoding: 'utf8',
      })
      return { status, stdout, stderr }
    })
    assertSame(bundled, separate)
  }
})

/** A line for each answer, without what differs from run to run. */
async function answersOf(t: TestContext, cli: string): Promise<string[]> {
  const folder = temporaryFolder(t)
  cpSync('examples', path.join(folder, 'store'), { recursive: true })
  const config = path.join(folder, 'config.yaml')
  writeFileSync(config, 'modelStore: store\nload: iris\nallowLocalPaths: true\n')
  const ports = ['--port', '0', '--management-port', '0']
  const args = [...ports, '--config', config, '--state-dir', path.join(folder, 'state')]
  const server = await start(t, args, { command: [process.execPath, cli], folder })
  const lines: string[] = []
  for (const [listener, route, init] of [...ownRequests(), ...(await documented(server))]) {
    const answer = await server[listener](route, { redirect: 'manual', ...init })
    const text = await answer.text()
    const type = answer.headers.get('content-type') ?? ''
    // Numbers, the order of series and of lines, and the ids of requests differ.
    const body = ['/metrics', '/logs'].includes(route) ? '' : text.replaceAll(/\d[\d.e+-]*/g, '0')
    lines.push(`${init.method ?? 'get'} ${listener} ${route}: ${answer.status} ${type} ${body}`)
  }
  await server.close()
  return lines
}

/** What no document says: pages, forms, pictures, and changes that are saved. */
function ownRequests(): Request[] {
  const picture = readFileSync('examples/digits/samples/7.png')
  const form = new FormData()
  form.set('image', new Blob([picture], { type: 'image/png' }), '7.png')
  const upload = new FormData()
  upload.set('model_name', 'uploaded')
  upload.set('model', new Blob([readFileSync('examples/iris/model.onnx')]), 'x.onnx')
  const infer = {
    inputs: [{ name: 'features', shape: [1, 4], datatype: 'FP32', data: [5.8, 2.7, 5.1, 1.9] }],
  }
  const flower = { method: 'post', body: '{"features":[[5.8,2.7,5.1,1.9]]}', headers: JSON_TYPE }
  return [
    // After the other model, so that the lists have one order.
    ['manage', '/models?url=digits', { method: 'post' }],
    ['manage', '/models', { method: 'post', body: upload }],
    ['manage', '/models?url=iris&model_name=again', { method: 'post' }],
    ['manage', '/models/uploaded?min_worker=2&synchronous=true', { method: 'put' }],
    ['manage', '/models?url=iris&batch_size=none', { method: 'post' }],
    ['manage', '/models?limit=none', {}],
    ['fetch', '/predictions/uploaded', flower],
    ['fetch', '/v2/models/again/infer', { method: 'post', body: JSON.stringify(infer) }],
    ['fetch', '/predictions/digits', { method: 'post', body: picture }],
    ['fetch', '/predictions/digits', { method: 'post', body: form }],
    ['fetch', '/predictions/digits', { method: 'post', body: 'no picture' }],
    ['manage', '/models/uploaded', { method: 'delete' }],
    ['fetch', '/docs', {}],
    ['fetch', '/docs/', {}],
    ...['start.js', 'swagger-ui.css', 'swagger-ui-bundle.js'].map((name): Request => [
      'fetch',
      `/docs/${name}`,
      {},
    ]),
    ['fetch', '/openapi.yaml', {}],
    ['manage', '/openapi.yaml', {}],
    ['fetch', '/nothing', {}],
  ]
}

/**
 * Every operation of both documents with the example model, without a body and with an empty one.
 */
async function documented(server: TestServer): Promise<Request[]> {
  const requests: Request[] = []
  for (const listener of ['fetch', 'manage'] as const) {
    const { paths } = (await json(await server[listener]('/openapi.json'))) as {
      paths: Record<string, object>
    }
    for (const [template, item] of Object.entries(paths)) {
      const route = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => VALUES[name] ?? 'iris')
      for (const method of METHODS.filter((one) => one in item)) {
        requests.push([listener, route, { method }])
        if (method !== 'get')
          requests.push([listener, route, { method, body: '{}', headers: JSON_TYPE }])
      }
    }
  }
  return requests
}
