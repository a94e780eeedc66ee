/**
 * Requests that are rejected before their body is read: the response reaches the client, whoever it
 * is.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { needs } from '../helpers/needs.ts'
import { RawClient } from '../helpers/raw-client.ts'
import {
  BODY,
  KINDS,
  MIB,
  OPEN_SETTINGS,
  SETTINGS,
  TOKEN,
  everyRound,
  iris,
} from '../helpers/rejected-bodies.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const run = promisify(execFile)
const BINARY = 'Content-Type: application/octet-stream'
const AUTHORIZED = `Authorization: Bearer ${TOKEN}`
const FORM = 'Content-Type: multipart/form-data; boundary=b'
const FORM_START = '--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n'

interface Refused {
  readonly status: number
  readonly line: string
  readonly headers: readonly string[]
  readonly start?: string
}

const INFERENCE: readonly Refused[] = [
  { status: 413, line: 'POST /predictions/iris', headers: [BINARY] },
  { status: 413, line: 'POST /v2/models/iris/infer', headers: ['Content-Type: application/json'] },
  { status: 413, line: 'POST /v1/models/iris:predict', headers: [BINARY] },
  { status: 413, line: 'POST /predictions/iris', headers: [BINARY, 'Content-Encoding: gzip'] },
  { status: 413, line: 'POST /predictions/iris', headers: [FORM], start: FORM_START },
  { status: 413, line: 'PUT /predictions/iris', headers: [BINARY] },
  { status: 415, line: 'POST /predictions/iris', headers: ['Content-Type: json'] },
  { status: 415, line: 'POST /v2/models/iris/infer', headers: ['Content-Type: json'] },
  { status: 404, line: 'POST /predictions/none', headers: [BINARY] },
  { status: 404, line: 'POST /predictions/iris/7', headers: [BINARY] },
  { status: 404, line: 'POST /v2/models/none/infer', headers: [BINARY] },
  { status: 404, line: 'POST /nowhere', headers: [BINARY] },
  { status: 404, line: 'POST /nowhere', headers: [FORM], start: FORM_START },
  { status: 405, line: 'DELETE /predictions/iris', headers: [BINARY] },
  { status: 405, line: 'PROPFIND /predictions/iris', headers: [BINARY] },
  { status: 400, line: 'POST /v2/models/%zz/infer', headers: [BINARY] },
]
const MANAGEMENT: readonly Refused[] = [
  { status: 401, line: 'POST /models', headers: [FORM], start: FORM_START },
  { status: 401, line: 'PUT /nowhere', headers: [BINARY] },
  { status: 413, line: 'POST /models', headers: [FORM, AUTHORIZED], start: FORM_START },
  { status: 413, line: 'POST /models', headers: [AUTHORIZED, 'Content-Type: application/json'] },
  { status: 415, line: 'POST /models', headers: [AUTHORIZED, 'Content-Type: json'] },
  { status: 404, line: 'POST /nowhere', headers: [AUTHORIZED, BINARY] },
  { status: 405, line: 'PATCH /models', headers: [AUTHORIZED, BINARY] },
]

async function sendWhole(
  t: TestContext,
  url: string,
  { line, headers, start = '' }: Refused,
  framing: 'chunked' | 'length' | '1.0',
): Promise<RawClient> {
  const client = await RawClient.connect(t, url)
  const bytes = start.length + BODY.length
  const version = framing === '1.0' ? '1.0' : '1.1'
  const length = framing === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`
  const head = [`${line} HTTP/${version}`, 'Host: test', ...headers, length, '', ''].join('\r\n')
  await client.write(head)
  const body = Buffer.concat([Buffer.from(start), BODY])
  for (let at = 0; at < body.length; at += MIB) {
    const piece = body.subarray(at, at + MIB)
    if (framing === 'chunked') await client.write(`${piece.length.toString(16)}\r\n`)
    await client.write(piece)
    if (framing === 'chunked') await client.write('\r\n')
  }
  if (framing === 'chunked') await client.write('0\r\n\r\n')
  client.read()
  await client.ended
  return client
}

async function expectRefusals(t: TestContext, url: string, all: readonly Refused[]): Promise<void> {
  for (const refused of all) {
    for (const framing of ['length', 'chunked', '1.0'] as const) {
      const { text, error } = await sendWhole(t, url, refused, framing)
      const what = `${refused.line} ${refused.headers.join(' ')} ${framing}: ${text} ${error}`
      assert.match(text, new RegExp(`^HTTP/1\\.1 ${refused.status} `), what)
      assert.match(text, /^connection: close\r$/im, what)
      const body: unknown = JSON.parse(text.slice(text.indexOf('\r\n\r\n')))
      assert.ok(typeof body === 'object' && body !== null, what)
      assert.equal('error' in body, / \/v[12]\//.test(refused.line), what)
      assert.equal(error, undefined, what)
    }
  }
}

test('B4: a client that sends its whole body first gets the response of a rejected request', async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  await expectRefusals(t, server.inferenceUrl, INFERENCE)
  await expectRefusals(t, server.managementUrl, MANAGEMENT)
})

test('B4: a rejected request gets no 100 Continue; one that is read gets it', async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  const expecting = async (url: string, { line, headers }: Refused): Promise<RawClient> => {
    const client = await RawClient.connect(t, url)
    client.read()
    const lines = [...headers, 'Content-Length: 4000000', 'Expect: 100-continue']
    await client.write([`${line} HTTP/1.1`, 'Host: test', ...lines, '', ''].join('\r\n'))
    await client.answered()
    return client
  }
  for (const [url, all] of [
    [server.inferenceUrl, INFERENCE],
    [server.managementUrl, MANAGEMENT],
  ] as const) {
    for (const refused of all) {
      const client = await expecting(url, refused)
      await client.ended
      assert.deepEqual(client.statuses, [refused.status], refused.line)
    }
  }
  const body = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  const head = ['POST /predictions/iris HTTP/1.1', 'Host: test', 'Content-Type: application/json']
  const rest = [`Content-Length: ${body.length}`, 'Expect: 100-continue', '', '']
  await client.write([...head, ...rest].join('\r\n'))
  await client.answered()
  assert.deepEqual(client.statuses, [100])
  await client.write(body)
  await client.answered(2)
  assert.deepEqual(client.statuses, [100, 200])
})

test(
  'B4: a full queue is told without a 100 Continue',
  { skip: oneProcess('its queue') },
  async (t) => {
    const gate = newGate(t)
    const settings = { allowHandlers: true, queueSize: 1, overloadStatus: '429' }
    const server = await serve(t, [handlerModel(t, 'told')], settings)
    const ask = (): Promise<Response> =>
      server.fetch('/predictions/told', { method: 'POST', body: `wait:${gate.path}` })
    const waiting = [ask()]
    const series = async (name: string): Promise<number> => {
      const text = await (await server.manage(`/metrics?name[]=${name}`)).text()
      return Number(/^\w+\{[^}]*\} (\d+)$/m.exec(text)?.[1])
    }
    await until(async () => {
      // The first request may be at the worker or still in the queue.
      if (waiting.length < 3) waiting.push(ask())
      return (await series('onnxd_queue_jobs')) === 1
    })
    // One request is at the worker, and one waits.
    await until(async () => (await series('onnxd_inflight_requests')) === 2)
    assert.equal(await series('onnxd_capacity_requests'), 1)
    const client = await RawClient.connect(t, server.inferenceUrl)
    client.read()
    const head = ['POST /predictions/told HTTP/1.1', 'Host: test', 'Content-Length: 9']
    await client.write([...head, 'Expect: 100-continue', '', ''].join('\r\n'))
    await client.ended
    assert.deepEqual([client.statuses, client.error], [[429], undefined])
    assert.match(client.text, /^retry-after: \d+\r$/im)
    gate.open()
    await Promise.all(waiting)
  },
)

test('B4: a second request on a kept connection is rejected as the first', async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  await client.write('GET /ping HTTP/1.1\r\nHost: test\r\n\r\n')
  await client.answered()
  await client.write(
    `POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: ${BODY.length}\r\n\r\n`,
  )
  await client.write(BODY)
  await client.ended
  assert.deepEqual([client.statuses, client.error], [[200, 404], undefined])
  const malformed = await RawClient.connect(t, server.inferenceUrl)
  malformed.read()
  await malformed.write('GET /ping HTTP/1.1\r\nHost: test\r\n\r\n')
  await malformed.answered()
  await malformed.write('GET /ping HTTP/1.1\r\nHost: test\r\nno header\r\n\r\n')
  await malformed.write(BODY)
  await malformed.ended
  assert.deepEqual([malformed.statuses, malformed.error], [[200, 400], undefined])
})

test('B4: what follows a rejected request on its connection is not run', async (t) => {
  const server = await serve(t, [iris()], { maxBodyBytes: 1000, maxJsonBytes: 1000 })
  for (const start of ['POST /models HTTP/1.1', 'POST /nowhere HTTP/1.1', 'GET / HTTP/9.9']) {
    const client = await RawClient.connect(t, server.managementUrl)
    client.read()
    const { socket } = client
    socket.write(`${start}\r\nHost: test\r\n${BINARY}\r\nContent-Length: 2000\r\n\r\n`)
    await client.answered()
    await client.write('x'.repeat(2000))
    await client.write('DELETE /models/iris HTTP/1.1\r\nHost: test\r\n\r\n')
    await client.ended
    assert.equal(client.statuses.length, 1, client.text)
  }
  assert.equal((await server.manage('/models/iris')).status, 200)
})

test('B4: a client that goes on sending for ever is cut off', { timeout: 120_000 }, async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  const endless = await RawClient.connect(t, server.inferenceUrl)
  endless.read()
  await endless.write('POST /nowhere HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n')
  let sent = 0
  const piece = Buffer.concat([Buffer.from(`${MIB.toString(16)}\r\n`), Buffer.alloc(MIB)])
  while (!endless.socket.destroyed && sent < 4096 * MIB) {
    await endless.write(piece)
    await endless.write('\r\n')
    sent += MIB
  }
  assert.deepEqual(endless.statuses, [404])
  assert.ok(endless.socket.destroyed, `${sent / MIB} MiB were taken`)
  assert.ok(sent >= 200 * MIB, `${sent / MIB} MiB`)
})

test('B4: an upload that never ends is rejected', async (t) => {
  const server = await serve(t, [], OPEN_SETTINGS)
  const client = await RawClient.connect(t, server.managementUrl)
  await client.write(
    `POST /models HTTP/1.1\r\nHost: localhost\r\n${FORM}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  )
  // A part without a name is read past.
  const part = '--b\r\nContent-Disposition: form-data\r\n\r\n'
  await client.write(`${part.length.toString(16)}\r\n${part}\r\n`)
  for (let sent = 0; sent < 24; sent += 1) {
    await client.write(`${MIB.toString(16)}\r\n`)
    await client.write(Buffer.alloc(MIB, 'x'))
    await client.write('\r\n')
  }
  client.read()
  await client.ended
  assert.deepEqual([client.statuses, client.error], [[413], undefined])
  assert.equal((await server.manage('/models')).status, 200)
  const { transfers } = JSON.parse(await (await server.manage('/models')).text())
  assert.equal(transfers, undefined)
})

test('B4: fetch of Node gets the response', async () => {
  const server = await sharedServer([iris()], SETTINGS)
  await everyRound(server, (url) =>
    Promise.all(
      KINDS.map(async ([type, route]) => {
        const init = { method: 'POST', body: BODY, headers: { 'content-type': type } }
        const answer = await fetch(url + route, init)
        await answer.arrayBuffer()
        return String(answer.status)
      }),
    ),
  )
})

test('B4: curl gets the response', { skip: needs('curl', '--version') }, async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  const file = path.join(temporaryFolder(t), 'body')
  writeFileSync(file, BODY)
  for (const expect of ['Expect:', 'Expect: 100-continue']) {
    await everyRound(server, async (url) => {
      const args = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', expect]
      const statuses: string[] = []
      for (const [type, route] of KINDS) {
        const headers = ['-H', `Content-Type: ${type}`, '--data-binary', `@${file}`]
        statuses.push((await run('curl', [...args, ...headers, url + route])).stdout)
      }
      return statuses
    })
  }
})
