/** Requests that fit no route: methods, targets, headers and names that few clients send. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { RawClient } from '../helpers/raw-client.ts'
import { sendRaw } from '../helpers/raw-request.ts'
import { iris } from '../helpers/server-process.ts'
import { serve } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

/** What came back for the lines of a head. */
interface Answer {
  readonly status: number
  readonly head: string
  readonly body: Readonly<Record<string, unknown>>
}

async function send(t: TestContext, url: string, ...lines: string[]): Promise<Answer> {
  const client = await RawClient.connect(t, url)
  client.read()
  await client.write([...lines, '', ''].join('\r\n'))
  await client.answered()
  client.socket.end()
  await client.ended
  const [head = '', ...body] = client.text.split('\r\n\r\n')
  return { status: client.statuses[0] ?? 0, head, body: JSON.parse(body.join('') || '{}') }
}

test('D2: a name of any length that no model has is 404', async () => {
  const server = await sharedServer([iris])
  for (const length of [256, 257, 300, 8000]) {
    const name = 'n'.repeat(length)
    for (const [method, path, type] of [
      ['POST', `/predictions/${name}`, 'ModelNotFoundException'],
      ['POST', `/predictions/iris/${name}`, 'ModelVersionNotFoundException'],
      ['POST', `/models/${name}/invoke`, 'ModelNotFoundException'],
      ['POST', `/v2/models/${name}/infer`, undefined],
      ['GET', `/v2/models/${name}`, undefined],
      ['GET', `/v2/models/iris/versions/${name}`, undefined],
      ['POST', `/v1/models/${name}:predict`, undefined],
    ] as const) {
      const { status, body } = await sendRaw(server.inferenceUrl, { method, path })
      const text = body.toString()
      assert.equal(status, 404, `${method} ${path}: ${text}`)
      assert.ok(text.length < 600, 'a long name is cut in the text')
      const found = JSON.parse(text)
      if (type === undefined) assert.match(found.error, /^Request for unknown model: /)
      else assert.equal(found.type, type)
    }
    for (const [method, path] of [
      ['GET', `/models/${name}`],
      ['DELETE', `/models/${name}`],
      ['PUT', `/models/${name}`],
      ['GET', `/models/iris/${name}`],
    ] as const)
      assert.equal((await sendRaw(server.managementUrl, { method, path })).status, 404, path)
  }
})

test('D2: an error has the form of its dialect, however the URL is written', async (t) => {
  const server = await sharedServer([iris])
  const { inferenceUrl } = server
  for (const [target, status, isKserve] of [
    ['/v2/models/%zz', 400, true],
    ['/v1/models/%zz:predict', 400, true],
    ['/predictions/%zz', 400, false],
    ['http://any.example/v2/models/none', 404, true],
    ['HTTP://any.example:80/v1/models/none', 404, true],
    ['https://any.example/v2/models/%zz', 400, true],
    ['http://any.example/v2/nothing', 404, true],
    ['http://any.example/nothing', 404, false],
    ['http://any.example/v2x', 404, false],
  ] as const) {
    const answer = await send(t, inferenceUrl, `GET ${target} HTTP/1.1`, 'Host: x')
    assert.equal(answer.status, status, target)
    assert.deepEqual('error' in answer.body, isKserve, `${target} ${JSON.stringify(answer.body)}`)
  }
  for (const target of ['http://any.example/ping', 'http://any.example', 'http://any.example?a=b'])
    assert.equal((await send(t, inferenceUrl, `GET ${target} HTTP/1.1`, 'Host: x')).status, 200)
})

test('D2: what HTTP itself rejects has the body of every other error', async (t) => {
  const server = await serve(t, [iris], { allowedHosts: ['x'] })
  for (const [lines, status, isKserve] of [
    [['GET /ping HTTP/1.1'], 400, false],
    [['GET /v2/models/iris HTTP/1.1'], 400, true],
    [['POST /nowhere HTTP/1.1'], 400, false],
    [['GET /ping HTTP/1.1', 'Host: x', 'Expect: cake'], 417, false],
    [['GET /v2 HTTP/1.1', 'Host: x', 'Expect: cake'], 417, true],
    [['GET /ping HTTP/1.1', 'Host: x', 'no colon'], 400, false],
    [['FOO /ping HTTP/1.1', 'Host: x'], 400, false],
    [['CONNECT any.example:443 HTTP/1.1', 'Host: x'], 404, false],
  ] as const) {
    for (const url of [server.inferenceUrl, server.managementUrl]) {
      const answer = await send(t, url, ...lines)
      assert.equal(answer.status, status, lines.join(' '))
      const keys = isKserve ? ['error'] : ['code', 'message', 'type']
      assert.deepEqual(Object.keys(answer.body).toSorted(), keys, lines.join(' '))
    }
  }
  // HTTP/1.0 knows no Host, and an empty one is allowed.
  const { inferenceUrl } = server
  assert.equal((await send(t, inferenceUrl, 'GET /ping HTTP/1.0')).status, 200)
  assert.equal((await send(t, inferenceUrl, 'GET /ping HTTP/1.1', 'Host:')).status, 200)
})

test('D2: a content type that cannot be read is 415 with its type', async () => {
  const server = await sharedServer([iris])
  for (const type of ['json', 'application/', '/json', 'a b/c', ';', 'text']) {
    for (const [url, path] of [
      [server.inferenceUrl, '/predictions/iris'],
      [server.managementUrl, '/models'],
    ] as const) {
      const headers = ['content-type', type]
      const { status, body } = await sendRaw(url, { path, headers, body: '{}' })
      const found = JSON.parse(body.toString())
      assert.deepEqual([status, found.type], [415, 'UnsupportedMediaTypeException'], type)
    }
    const path = '/v2/models/iris/infer'
    const headers = ['content-type', type]
    const answer = await sendRaw(server.inferenceUrl, { path, headers, body: '{}' })
    assert.deepEqual(
      [answer.status, Object.keys(JSON.parse(answer.body.toString()))],
      [415, ['error']],
    )
  }
})

test('B4: requests before one that cannot be read are answered', async (t) => {
  const server = await sharedServer([iris])
  const flower = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const head = ['POST /predictions/iris HTTP/1.1', 'Host: x', 'Content-Type: application/json']
  const predict = [...head, `Content-Length: ${flower.length}`, '', flower].join('\r\n')
  for (const [before, broken] of [
    [predict, 'no HTTP\r\n\r\n'],
    [predict.repeat(3), 'no HTTP\r\n\r\n'],
    [predict.repeat(2), [...head, 'Transfer-Encoding: chunked', '', 'no chunk'].join('\r\n')],
  ] as const) {
    const client = await RawClient.connect(t, server.inferenceUrl)
    client.read()
    await client.write(before + broken)
    await client.ended
    const count = before.length / predict.length
    const expected = [...Array.from({ length: count }, () => 200), 400]
    assert.deepEqual([client.statuses, client.error], [expected, undefined])
  }
})

test('E17: no response lets a browser guess its content type', async (t) => {
  const server = await serve(t, [iris], { managementToken: 'secret' })
  const { inferenceUrl, managementUrl } = server
  const flower = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const json = ['Host: x', 'Content-Type: application/json', `Content-Length: ${flower.length}`]
  for (const [url, ...lines] of [
    [inferenceUrl, 'GET /ping HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /docs HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /docs/start.js HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /openapi.json HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /nowhere HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /v2/models/%zz HTTP/1.1', 'Host: x'],
    [inferenceUrl, 'GET /ping HTTP/1.1'],
    [inferenceUrl, 'no HTTP'],
    [inferenceUrl, 'GET /ping HTTP/1.1', 'Host: x', 'Expect: cake'],
    [managementUrl, 'GET /models HTTP/1.1', 'Host: x'],
    [managementUrl, 'GET /metrics HTTP/1.1', 'Host: x', 'Authorization: Bearer secret'],
  ] as const) {
    const client = await RawClient.connect(t, url)
    client.read()
    await client.write([...lines, '', ''].join('\r\n'))
    await client.answered()
    assert.equal(
      client.text.match(/^x-content-type-options: nosniff\r$/gim)?.length,
      1,
      client.text,
    )
  }
  const predict = await RawClient.connect(t, inferenceUrl)
  predict.read()
  await predict.write([`POST /predictions/iris HTTP/1.1`, ...json, '', flower].join('\r\n'))
  await predict.answered()
  assert.deepEqual(predict.statuses, [200])
  assert.match(predict.text, /^x-content-type-options: nosniff\r$/im)
})

/** Texts that JavaScript takes for numbers, or that look like them. */
const NO_NUMBERS = [
  '1e999',
  '-1e999',
  'Infinity',
  '-Infinity',
  'NaN',
  '1e3',
  '1e0',
  '0x1',
  '0b1',
  '+1',
  ' 1',
  '1 ',
  '1_0',
  '٣',
  '1,0',
  '9'.repeat(16),
  '1e',
  '--1',
  '-',
]

test('E10: a number of a query, a form or JSON is written in plain digits', async () => {
  const server = await sharedServer([iris])
  const json = { 'content-type': 'application/json' }
  const put = (query: string): Promise<Response> =>
    server.manage(`/models/iris?${query}`, { method: 'PUT' })
  const expectRefusal = async (answer: Response, what: string): Promise<void> => {
    const { type } = JSON.parse(await answer.text())
    assert.deepEqual([answer.status, type], [400, 'BadRequestException'], what)
  }
  for (const text of NO_NUMBERS) {
    const value = encodeURIComponent(text)
    for (const name of ['min_worker', 'max_worker', 'number_gpu', 'timeout'])
      await expectRefusal(await put(`${name}=${value}`), `${name}=${text}`)
    for (const name of ['limit', 'next_page_token'])
      await expectRefusal(await server.manage(`/models?${name}=${value}`), `${name}=${text}`)
    for (const name of [
      'batch_size',
      'max_batch_delay',
      'initial_workers',
      'response_timeout',
      'startup_timeout',
      'priority_levels',
      'default_priority_level',
    ]) {
      const post = { method: 'POST' }
      await expectRefusal(await server.manage(`/models?url=x&${name}=${value}`, post), name)
      const body = JSON.stringify({ url: 'x', [name]: text })
      await expectRefusal(await server.manage('/models', { ...post, headers: json, body }), name)
      const form = new FormData()
      form.set(name, text)
      form.set('model', new Blob(['x']), 'x.onnx')
      await expectRefusal(await server.manage('/models', { ...post, body: form }), `form ${name}`)
    }
  }
  for (const number of ['1e999', '-1e999', '1.5', 'true', '1e300']) {
    const body = `{"url":"x","response_timeout":${number}}`
    await expectRefusal(
      await server.manage('/models', { method: 'POST', headers: json, body }),
      number,
    )
  }
  // JSON has no other way to write the number.
  assert.equal((await put('min_worker=1&synchronous=true')).status, 200)
  const unchanged = JSON.parse(await (await server.manage('/models/iris')).text())
  assert.equal(unchanged.minWorkers, 1)
})

test('E10: nor are priority and deadline of a request anything else', async () => {
  const server = await sharedServer([iris])
  const body = '{"features":[[5.1,3.5,1.4,0.2]]}'
  for (const text of NO_NUMBERS.filter((each) => each === each.trim() && each !== '٣')) {
    for (const name of ['onnxd-priority', 'onnxd-timeout-ms']) {
      const headers = ['content-type', 'application/json', name, text]
      const { status } = await sendRaw(server.inferenceUrl, {
        path: '/predictions/iris',
        headers,
        body,
      })
      assert.equal(status, 400, `${name}: ${text}`)
    }
  }
  const inputs = [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] }]
  for (const [name, value] of [
    ['timeout', '1e999'],
    ['priority', '1e999'],
    ['timeout', '"1"'],
    ['priority', '1.5'],
    ['timeout', '-1'],
  ] as const) {
    const text = `{"parameters":{"${name}":${value}},"inputs":${JSON.stringify(inputs)}}`
    const headers = ['content-type', 'application/json']
    const path = '/v2/models/iris/infer'
    const { status } = await sendRaw(server.inferenceUrl, { path, headers, body: text })
    assert.equal(status, 400, text)
  }
})
