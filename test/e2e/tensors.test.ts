/** Tensors over real HTTP: what clients send by habit, and what Triton's configurations mean. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { unsupportedElements } from '../../src/worker/process/onnx/runtime/runtime-errors.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { npyFile } from '../helpers/npy.ts'
import { floats, identityGraph, modelBytes, writeModelFolder } from '../helpers/onnx-builder.ts'
import type { ModelSource } from '../helpers/onnx-builder.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer, unregisterAll } from '../helpers/shared-server.ts'

const EXAMPLES = ['digits', 'iris'].map((name) => path.resolve('examples', name))
const CURL_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }
const PNG = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(40, 0xe1)])

/** A repository of one model as Triton has it. */
function tritonModel(t: TestContext, graph: ModelSource, config?: string): string {
  const folder = path.join(temporaryFolder(t), 'm')
  writeModelFolder(folder, '1', graph)
  if (config !== undefined) writeFileSync(path.join(folder, 'config.pbtxt'), config)
  return folder
}

/** The server of this file with these models, and no others. */
async function serveModels(t: TestContext, ...folders: string[]): Promise<TestServer> {
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  t.after(() => unregisterAll(server))
  for (const folder of folders) {
    const url = encodeURIComponent(folder)
    assert.equal((await server.manage(`/models?url=${url}`, { method: 'POST' })).status, 200)
  }
  return server
}

async function post(
  server: TestServer,
  route: string,
  body: Exclude<RequestInit['body'], undefined>,
  headers = {},
) {
  const answer = await server.fetch(route, { method: 'POST', body, headers })
  return [answer.status, await json(answer)] as const
}

/** A request with any method and a body, which `fetch` refuses for GET. */
function send(
  server: TestServer,
  method: string,
  route: string,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<readonly [number, string]> {
  return new Promise((resolve, reject) => {
    const outgoing = request(server.inferenceUrl + route, { method, headers }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () =>
        resolve([incoming.statusCode ?? 0, Buffer.concat(chunks).toString()]),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

test('A4: an array file arrives as curl sends it', async (t) => {
  const folder = writeModelFolder(
    temporaryFolder(t),
    'm',
    identityGraph({ type: 'FP32', shape: ['n', 4] }),
  )
  const server = await serveModels(t, folder)
  const data = Buffer.from(Float64Array.of(0.5, 1, 2, 3).buffer)
  const file = npyFile({ descr: '<f8', shape: [1, 4], data })
  const answer = [200, { y: [[0.5, 1, 2, 3]] }]
  assert.deepEqual(await post(server, '/predictions/m', file, CURL_TYPE), answer)
  assert.deepEqual(await post(server, '/predictions/m', file), answer)
  const put = await server.fetch('/predictions/m', { method: 'PUT', body: file })
  assert.deepEqual([put.status, await json(put)], answer)
  for (const type of ['application/octet-stream', 'application/x-npy', '']) {
    const form = new FormData()
    form.set('x', new Blob([file], { type }), 'x.npy')
    assert.deepEqual(await post(server, '/predictions/m', form), answer, type)
  }
})

test('A4: an image, a document or a table for a model of numbers is 415, however curl sends it', async (t) => {
  const folder = writeModelFolder(
    temporaryFolder(t),
    'm',
    identityGraph({ type: 'FP32', shape: ['n'] }),
  )
  const server = await serveModels(t, folder)
  for (const file of [
    PNG,
    Buffer.from('%PDF-1.7 and more of it.'),
    Buffer.from('PK\x03\x04abcd'),
  ]) {
    for (const headers of [CURL_TYPE, { 'content-type': 'application/octet-stream' }, {}]) {
      const [status, body] = await send(server, 'POST', '/predictions/m', file, headers)
      assert.equal(status, 415, body)
      assert.match(body, /^[\n\x20-\x7e]*$/)
    }
  }
  const table = Buffer.from('a,b\n1.5,2.5\n3.5,4.5\n5.5,6.5\n7.5,8.5')
  assert.equal((await send(server, 'PUT', '/predictions/m', table))[0], 415)
})

test('A6: a configuration without a batch dimension ranks all values together', async (t) => {
  const graph = identityGraph({ type: 'FP32', shape: ['n'] })
  const values = Array.from({ length: 16 }, (_, index) => (index * 7) % 16)
  const io = 'input { name: "x" data_type: TYPE_FP32 dims: [-1] } output { name: "y" dims: [-1] }'
  const configs = [`max_batch_size: 0 ${io}`, 'max_batch_size: 0', 'max_batch_size: 16', undefined]
  const server = await serve(
    t,
    configs.map((config, index) => `m${index}=${tritonModel(t, graph, config)}`),
  )
  const ranked = async (_config: string | undefined, index: number): Promise<unknown> => {
    const body = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [16], data: values }],
      outputs: [{ name: 'y', parameters: { classification: 3 } }],
    })
    const [status, answer] = await post(server, `/v2/models/m${index}/infer`, body)
    assert.equal(status, 200, JSON.stringify(answer))
    const { outputs } = answer as { outputs: { shape: number[]; data: string[] }[] }
    return [outputs[0]?.shape, outputs[0]?.data.slice(0, 3)]
  }
  const together = [[3], ['15.000000:9', '14.000000:2', '13.000000:11']]
  const rows = [
    [16, 1],
    ['0.000000:0', '7.000000:0', '14.000000:0'],
  ]
  assert.deepEqual(await Promise.all(configs.map(ranked)), [together, together, rows, rows])
})

test('C5: the body of a GET is handed over, in every form', async (t) => {
  const folder = writeModelFolder(
    temporaryFolder(t),
    'm',
    identityGraph({ type: 'FP32', shape: ['n'] }),
  )
  const server = await serveModels(t, folder, handlerModel(t, 'tool'))
  const form = new Response(formOf('x', '[1,2]'))
  const multipart = Buffer.from(await form.arrayBuffer())
  const bodies: [Buffer, Record<string, string>][] = [
    [Buffer.from('{"x":[1,2]}'), { 'content-type': 'application/json' }],
    [Buffer.from('[1,2]'), {}],
    [Buffer.from('x=%5B1,2%5D'), CURL_TYPE],
    [multipart, { 'content-type': form.headers.get('content-type') ?? '' }],
  ]
  for (const route of [
    '/predictions/m',
    '/predictions/m/1.0',
    '/invocations?model_name=m',
    '/m/predict',
    '/models/m/invoke',
  ]) {
    for (const [body, headers] of bodies) {
      for (const length of [
        { 'content-length': String(body.length) },
        { 'transfer-encoding': 'chunked' },
      ]) {
        const [status, text] = await send(server, 'GET', route, body, { ...headers, ...length })
        assert.equal(status, 200, `${route} ${text}`)
        assert.deepEqual(JSON.parse(text), { y: [1, 2] })
      }
    }
  }
  const echo = Buffer.from('echo:hello')
  const own = { 'content-length': String(echo.length), 'content-type': 'text/plain' }
  assert.deepEqual(await send(server, 'GET', '/predictions/tool', echo, own), [200, 'hello'])
  const large = Buffer.alloc(300_000, 'x')
  const lengths = { 'content-length': String(large.length) }
  assert.equal((await send(server, 'GET', '/ping', large, lengths))[0], 200)
  assert.equal((await server.fetch('/predictions/m?x=1')).status, 400)
  const query = await server.fetch('/m/predict?x=%5B3%5D')
  assert.deepEqual(await json(query), { y: [3] })
})

test('C6: text that looks like JSON reaches inputs of strings and handlers over HTTP', async (t) => {
  const folder = writeModelFolder(
    temporaryFolder(t),
    'm',
    identityGraph({ type: 'BYTES', shape: ['n'] }),
  )
  const server = await serveModels(t, folder, handlerModel(t, 'tool'))
  for (const text of ['"quoted"', '["a"', '[x] done', '{"a"}']) {
    const answer = [200, { y: [text] }]
    assert.deepEqual(await post(server, '/predictions/m', formOf('x', text)), answer)
    const file = new FormData()
    file.set('x', new Blob([text], { type: 'text/plain' }), 'x.txt')
    assert.deepEqual(await post(server, '/predictions/m', file), answer)
    assert.deepEqual(await post(server, '/predictions/m', new URLSearchParams({ x: text })), answer)
    const plain = { 'content-type': 'text/plain' }
    assert.deepEqual(await post(server, '/predictions/m', text, plain), answer)
    const query = await server.fetch(`/m/predict?x=${encodeURIComponent(text)}`)
    assert.deepEqual([query.status, await json(query)], answer)
    const own = await server.fetch('/predictions/tool', {
      method: 'POST',
      body: `echo:${text}`,
      headers: plain,
    })
    assert.equal(await own.text(), text)
  }
})

test('C7: a model without shapes is described, documented and served', async (t) => {
  const folder = writeModelFolder(temporaryFolder(t), 'm', identityGraph({ type: 'FP32' }))
  const server = await serveModels(t, folder)
  const rows = [
    [1, 2],
    [3, 4],
  ]
  const headers = { 'content-type': 'application/json' }
  assert.deepEqual(await post(server, '/predictions/m', JSON.stringify(rows), headers), [
    200,
    { y: rows },
  ])
  const document = await server.fetch('/v2/models/m/openapi.json')
  assert.equal(document.status, 200)
  assert.match(await document.text(), /FP32 of any shape/)
})

test('C8: reshape of config.pbtxt is what clients see', async (t) => {
  const graph = identityGraph({ type: 'FP32', shape: ['n'] })
  const config = `max_batch_size: 8
    input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }
    output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [] } }`
  const server = await serve(t, [tritonModel(t, graph, config)])
  const [, metadata] = await metadataOf(server, '/v2/models/m')
  assert.deepEqual(
    [metadata.inputs[0]?.shape, metadata.outputs[0]?.shape],
    [
      [-1, 1],
      [-1, 1],
    ],
  )
  const shown = (await json(await server.fetch('/v2/models/m/config'))) as {
    input: { dims: unknown; reshape: unknown }[]
  }
  assert.deepEqual([shown.input[0]?.dims, shown.input[0]?.reshape], [[1], { shape: [] }])
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [3, 1], data: [1, 2, 3] }],
  })
  const [status, answer] = await post(server, '/v2/models/m/infer', body)
  assert.equal(status, 200, JSON.stringify(answer))
  assert.deepEqual((answer as { outputs: { shape: unknown }[] }).outputs[0]?.shape, [3, 1])
  assert.deepEqual(await post(server, '/v1/models/m:predict', '{"instances":[[1],[2]]}'), [
    200,
    { predictions: [[1], [2]] },
  ])
  const wrong = tritonModel(t, graph, config.replace('shape: [ ]', 'shape: [ 2 ]'))
  const { logged } = await serve(t, [wrong, path.resolve('examples/iris')])
  const failure = await logged(({ msg }) => msg === 'model failed to load')
  assert.match(String(failure.reason), /config\.pbtxt reshapes .*x.* from \[1\] to \[2\]/)
})

test('D8: the error for an image with the content type of curl names the next step and quotes no byte', async () => {
  const server = await sharedServer(EXAMPLES)
  for (const body of [PNG, Buffer.from('\x01\x02\xff=\xfe&\x00', 'latin1')]) {
    const [status, text] = await send(server, 'POST', '/predictions/iris', body, CURL_TYPE)
    assert.ok(status === 400 || status === 415, text)
    assert.match(text, /^[\n\x20-\x7e]*$/)
    const protocol = await send(server, 'POST', '/v2/models/iris/infer', body, CURL_TYPE)
    assert.match(protocol[1], /^[\n\x20-\x7e]*$/)
  }
  const routes = [
    '/invocations?model_name=%89PNG%00',
    '/predictions/%C2%9Bx',
    '/v2/models/%EF%BF%BD/infer',
  ]
  for (const route of routes) {
    const [status, text] = await send(server, 'POST', route, Buffer.from('{}'))
    assert.equal(status, 404, text)
    assert.match(JSON.stringify(JSON.parse(text)), /^[\x20-\x7e]*$/)
    assert.doesNotMatch(text, /\\u/)
  }
  const packed = gzipSync('[5.8, 2.7, 5.1, 1.9]')
  const coded = { ...CURL_TYPE, 'content-encoding': 'gzip' }
  assert.equal((await send(server, 'POST', '/predictions/iris', packed, coded))[0], 200)
  const image = await send(server, 'POST', '/predictions/digits', Buffer.from('a cat'), {
    'content-type': 'text/plain',
  })
  assert.equal(image[0], 400)
  assert.match(image[1], /The model also accepts images: send JPEG, PNG/)
  const form = new FormData()
  form.set('doc', new Blob(['%PDF-1.7'], { type: 'application/pdf' }), 'a.pdf')
  const [status, refusal] = await post(server, '/predictions/digits', form)
  assert.equal(status, 415)
  assert.match(
    JSON.stringify(refusal),
    /The part \\"doc\\" of the form .*The model also accepts images/,
  )
})

test('D8: an unknown path names where the paths are listed', async () => {
  const server = await sharedServer(EXAMPLES)
  const [status, text] = await send(server, 'GET', '/nothing/here', Buffer.alloc(0))
  assert.equal(status, 404)
  assert.match(text, /please refer to API document\. GET \/openapi\.json lists all paths/)
  assert.equal((await server.fetch('/openapi.json')).status, 200)
  assert.equal((await server.manage('/openapi.json')).status, 200)
})

test('D10: types that cannot be served have names, and so have files that are not ONNX', async (t) => {
  const folder = temporaryFolder(t)
  const server = await serve(t, [], { modelStore: folder })
  const refusal = async (name: string): Promise<string> => {
    const answer = await server.manage(`/models?url=${name}`, { method: 'POST' })
    assert.equal(answer.status, 400)
    const { message } = (await json(answer)) as { message: string }
    return message
  }
  const types: [number, string][] = [
    [17, 'FLOAT8E4M3FN'],
    [19, 'FLOAT8E5M2'],
    [21, 'UINT4'],
    [22, 'INT4'],
  ]
  for (const [type, name] of types) {
    const quantized: ModelSource = {
      inputs: [{ name: 'x', type, shape: [2] }],
      outputs: [{ name: 'y', type: 'FP32', shape: [2] }],
      nodes: [{ operator: 'DequantizeLinear', inputs: ['x', 'scale'], outputs: ['y'] }],
      constants: { scale: floats([], [1]) },
      version: 21,
    }
    writeFileSync(path.join(folder, `t${type}.onnx`), modelBytes(quantized))
    assert.match(await refusal(`t${type}.onnx`), new RegExp(`ONNX type ${type} \\(${name}\\)`))
  }
  for (let type = 14; type <= 26; type++) {
    assert.match(unsupportedElements('Input "x"', type).message, /ONNX type \d+ \([A-Z][A-Z0-9]+\)/)
  }
  const ort = Buffer.from('\x1c\0\0\0ORTM\0\0\0\0', 'latin1')
  const UNREADABLE =
    /parsing failed\. The file is not an ONNX model, or it is damaged or cut off\.$/
  const files: [string, string | Buffer, RegExp][] = [
    ['a.ort', ort, /\.ort files \(ORT format\) are not supported; use the original \.onnx file/],
    ['renamed.onnx', ort, /in the ORT format \(\.ort\), which is not supported/],
    ['zip.onnx', Buffer.from('PK\x03\x04', 'latin1'), /is a ZIP archive, not an ONNX model/],
    ['lfs.onnx', 'version https://git-lfs.github.com/spec/v1\noid', /a Git LFS pointer/],
    ['page.onnx', '<!DOCTYPE html><html>', /is an HTML or XML page/],
    ['text.onnx', 'this is no model\n', /The \.onnx file is a text file, not an ONNX model\./],
    ['other.onnx', `${'é'.repeat(40)}\t\r\n`, /is a text file, not an ONNX model\./],
    ['json.onnx', '{"a": 1}', /is a text file, not an ONNX model\./],
    ['noise.onnx', Buffer.from([8, 7, 255, 255]), UNREADABLE],
    [
      'cut.onnx',
      readFileSync(path.resolve('examples/iris/model.onnx')).subarray(0, 99),
      UNREADABLE,
    ],
  ]
  for (const [name, content, pattern] of files) {
    writeFileSync(path.join(folder, name), content)
    assert.match(await refusal(name), pattern)
  }
  mkdirSync(path.join(folder, 'only-ort'))
  writeFileSync(path.join(folder, 'only-ort', 'model.ort'), ort)
  assert.match(await refusal('only-ort'), /no \.onnx file.*\.ort/)
})

function formOf(name: string, value: string): FormData {
  const form = new FormData()
  form.set(name, value)
  return form
}

async function metadataOf(
  server: TestServer,
  route: string,
): Promise<[number, Record<'inputs' | 'outputs', { shape: unknown }[]>]> {
  const answer = await server.fetch(route)
  return [answer.status, (await json(answer)) as Record<'inputs' | 'outputs', { shape: unknown }[]>]
}
