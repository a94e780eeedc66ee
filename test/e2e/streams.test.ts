/** Responses that come in chunks, from handlers that yield them, over HTTP. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { after, test } from 'node:test'
import { httpProcesses } from '../helpers/http-processes.ts'
import { workerPids, workersOf } from '../helpers/observe.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { streamModel } from '../helpers/stream-model.ts'

const MIB = 1024 * 1024
const EVENTS = { accept: 'text/event-stream' }
/** Cleans up after the last test of the file. */
const ofFile: Cleanup = { after: (run) => after(run as () => void) }

const FOLDERS = [
  // Two workers in each HTTP process.
  streamModel(ofFile, 's', { workers: 2 * httpProcesses }),
  streamModel(ofFile, 'one', { workers: 1 }),
  streamModel(ofFile, 'b', { workers: 1, batchSize: 2, maxBatchDelay: 2000 }),
]

const server = (): Promise<TestServer> =>
  sharedServer(FOLDERS, { allowHandlers: true, maxResponseBytes: MIB })

const ask = (it: TestServer, body: string, headers: Record<string, string> = {}, model = 's') =>
  it.fetch(`/predictions/${model}`, { method: 'POST', body, headers })

/** The chunks of a response until it ends, and how it ended. */
async function read(response: Response): Promise<{ text: string; isWhole: boolean }> {
  let text = ''
  try {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
    return { text, isWhole: true }
  } catch {
    return { text, isWhole: false }
  }
}

test('objects are lines of JSON, texts and bytes are sent as they are, each when it is yielded', async (t) => {
  const it = await server()
  const lines = await ask(it, 'count:3')
  assert.equal(lines.status, 200)
  assert.equal(lines.headers.get('content-type'), 'application/x-ndjson')
  assert.equal(lines.headers.get('content-length'), null)
  assert.equal(await lines.text(), '{"i":1}\n{"i":2}\n{"i":3}\n')
  assert.equal(await (await ask(it, 'texts:["a","","b\\n"]')).text(), 'ab\n')
  const bytes = Buffer.from(await (await ask(it, 'bytes:00ff,0a')).arrayBuffer())
  assert.equal(bytes.toString('hex'), '00ff0a')
  for (const verb of ['sync', 'web', 'readable'])
    assert.equal(await (await ask(it, `${verb}:`)).text(), 'ab', verb)

  const gate = path.join(temporaryFolder(t), 'gate')
  const response = await ask(it, `gate:${gate}`)
  const reader = response.body?.getReader()
  assert.ok(reader)
  const { value: first } = await reader.read()
  assert.match(Buffer.from(first ?? []).toString(), /^\{"pid":\d+\}\n$/)
  writeFileSync(gate, '')
  const { value: last } = await reader.read()
  assert.equal(Buffer.from(last ?? []).toString(), 'last')
  assert.ok((await reader.read()).done)
})

test('a client that accepts events gets one for each chunk, and one for the end', async () => {
  const it = await server()
  const response = await ask(it, 'texts:["one","two\\nlines\\n",""]', EVENTS)
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  assert.equal(response.headers.get('x-accel-buffering'), 'no')
  assert.equal(
    await response.text(),
    'data: one\n\ndata: two\ndata: lines\ndata: \n\nevent: end\ndata: {"events":2}\n\n',
  )
  assert.match(await (await ask(it, 'count:1', EVENTS)).text(), /^data: \{"i":1\}\n\nevent: end\n/)
  const own = await ask(it, 'typed:text/event-stream', EVENTS)
  assert.equal(await own.text(), 'event: own\ndata: 1\n\n', 'the handler writes events itself')
  const plain = await ask(it, 'plain:', EVENTS)
  assert.equal(await plain.text(), 'plain', 'a response that is not streamed is none')
})

test('status and headers are those before the first chunk; a stream without a chunk is empty', async () => {
  const it = await server()
  const told = await ask(it, 'status:418')
  assert.equal(told.status, 418)
  assert.equal(told.headers.get('x-own'), 'yes')
  assert.equal(told.headers.get('ts_stream_next'), null)
  assert.equal(await told.text(), 'as told')
  assert.equal((await ask(it, 'status:204')).status, 204)
  const nothing = await ask(it, 'nothing:')
  assert.deepEqual([nothing.status, await nothing.text()], [200, ''])
  const events = await ask(it, 'nothing:', EVENTS)
  assert.equal(await events.text(), 'event: end\ndata: {"events":0}\n\n')
  const head = await it.fetch('/predictions/s', { method: 'HEAD' })
  assert.deepEqual([head.status, await head.text()], [200, ''])
})

test('an error before the first chunk has its status; later it breaks the response', async () => {
  const it = await server()
  for (const headers of [{}, EVENTS]) {
    assert.equal((await ask(it, 'throws:', headers)).status, 503)
    assert.equal((await ask(it, 'declines:', headers)).status, 422)
  }
  const broken = await ask(it, 'breaks:', { 'x-request-id': 'broken' })
  assert.equal(broken.status, 200)
  assert.deepEqual(await read(broken), { text: '{"i":1}\n', isWhole: false })
  const failed = ({ msg, requestId }: Record<string, unknown>): boolean =>
    msg === 'a streamed response failed' && requestId === 'broken'
  assert.equal((await it.logged(failed))['reason'], 'Prediction failed')
  const line = await it.logged((one) => one['msg'] === 'request' && one['requestId'] === 'broken')
  assert.equal(line['status'], 503)

  const events = await ask(it, 'breaks:', EVENTS)
  const { text, isWhole } = await read(events)
  assert.ok(isWhole)
  assert.equal(
    text,
    'data: {"i":1}\n\nevent: error\ndata: {"code":503,"type":"InternalServerException","message":"Prediction failed"}\n\n',
  )
  assert.match((await read(await ask(it, 'bad:', EVENTS))).text, /Unsupported model output/)
  const large = await read(await ask(it, `large:${2 * MIB}`, EVENTS))
  assert.match(large.text, /has 2097152 bytes, more than the limit of 1048576 \(maxResponseBytes\)/)
  assert.equal((await read(await ask(it, `large:${MIB}`))).text.length, MIB + 5)
})

test('a client that leaves ends the generator, and its worker serves the next request', async (t) => {
  const it = await server()
  const before = await workerPids(it, 'one')
  const file = path.join(temporaryFolder(t), 'end')
  for (const verb of ['flood', 'never', 'signal']) {
    const name = `${file}-${verb}`
    const controller = new AbortController()
    const { signal } = controller
    const init = {
      method: 'POST',
      body: `${verb}:${name}`,
      signal,
      headers: { 'x-request-id': verb },
    }
    const response = await it.fetch('/predictions/one', init)
    await response.body?.getReader().read()
    controller.abort()
    await until(() => existsSync(name) && readFileSync(name, 'utf8').endsWith('end'))
    const line = await it.logged((one) => one['msg'] === 'request' && one['requestId'] === verb)
    assert.equal(line['status'], 499)
  }
  assert.equal(await (await ask(it, 'plain:', {}, 'one')).text(), 'plain')
  assert.deepEqual(await workerPids(it, 'one'), before)
})

test('a client that reads slowly makes the generator wait', async (t) => {
  const it = await server()
  const file = path.join(temporaryFolder(t), 'flood')
  const client = await RawClient.connect(t, it.inferenceUrl)
  const body = `flood:${file}`
  await client.write(
    `POST /predictions/one HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  await until(() => existsSync(file))
  let size = 0
  await until(() => {
    const last = size
    size = statSync(file).size
    return size === last
  })
  // The buffers of two sockets are between the client and the generator.
  assert.ok(size * 65_536 < 16 * MIB, `${size} chunks were made`)
  client.read()
  await until(() => client.text.length > 20 * MIB)
  assert.ok(statSync(file).size > size + 10)
  client.socket.destroy()
  await until(() => readFileSync(file, 'utf8').endsWith('end'))
})

test('a connection can be used again after a stream, and each worker has its own stream', async (t) => {
  const it = await server()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const { hostname, port } = new URL(it.inferenceUrl)
  const ports = new Set<unknown>()
  for (const verb of ['count:2', 'plain:', 'count:1']) {
    const sent = httpRequest({ hostname, port, agent, method: 'POST', path: '/predictions/s' })
    sent.end(verb)
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    ports.add(response.socket.localPort)
    let text = ''
    for await (const chunk of response) text += String(chunk)
    assert.notEqual(text, '')
  }
  assert.equal(ports.size, 1)

  const gate = path.join(temporaryFolder(t), 'gate')
  const both = await Promise.all([ask(it, `gate:${gate}`), ask(it, `gate:${gate}`)])
  writeFileSync(gate, '')
  const texts = await Promise.all(both.map((response) => response.text()))
  assert.equal(new Set(texts).size, 2, 'the pids of two workers')
})

test('a batch has a stream for each request; who fails or leaves does so alone', async (t) => {
  const it = await server()
  const gate = path.join(temporaryFolder(t), 'gate')
  const [first, second] = await Promise.all([
    ask(it, `gate:${gate}`, {}, 'b'),
    ask(it, 'breaks:', EVENTS, 'b'),
  ])
  assert.match(await second.text(), /event: error/)
  writeFileSync(gate, '')
  assert.match(await first.text(), /^\{"pid":\d+\}\nlast$/)
  const mixed = await Promise.all([ask(it, 'plain:', {}, 'b'), ask(it, 'count:2', {}, 'b')])
  assert.deepEqual(await Promise.all(mixed.map((response) => response.text())), [
    'plain',
    '{"i":1}\n{"i":2}\n',
  ])
  assert.equal(mixed[0].headers.get('content-length'), '5')
})

test('a worker that is killed in a stream breaks the response', async (t) => {
  const it = await server()
  const gate = path.join(temporaryFolder(t), 'gate')
  for (const headers of [{}, EVENTS]) {
    const response = await ask(it, `gate:${gate}`, headers, 'one')
    const pids = await workerPids(it, 'one')
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    const { text, isWhole } = await read(response)
    assert.equal(isWhole, headers === EVENTS)
    if (isWhole) assert.match(text, /event: error\ndata: .*Worker died: it was killed by SIGKILL/)
    await until(async () => {
      const now = await workersOf(it, 'one')
      return now.every(({ pid, status }) => status === 'READY' && !pids.includes(pid))
    })
    await until(async () => (await ask(it, 'plain:', {}, 'one')).status === 200)
  }
})

test('a client of HTTP/1.0 gets the chunks until the connection ends, and a reset for an error', async (t) => {
  const it = await server()
  for (const [body, error] of [
    ['count:2', undefined],
    // A client of Node sees a reset only if it comes some time after the data.
    ['breaks:50', 'ECONNRESET'],
  ] as const) {
    const client = await RawClient.connect(t, it.inferenceUrl)
    client.read()
    await client.write(
      `POST /predictions/s HTTP/1.0\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await client.ended
    assert.equal(client.error, error)
    assert.doesNotMatch(client.text, /transfer-encoding/i)
    if (error === undefined) assert.match(client.text, /\r\n\r\n\{"i":1\}\n\{"i":2\}\n$/)
  }
})

test('every path for any handler streams; the protocols with one JSON document collect', async () => {
  const it = await server()
  const post = (route: string, body = 'count:2', headers = {}) =>
    it.fetch(route, { method: 'POST', body, headers })
  for (const route of [
    '/predictions/s/1.0',
    '/invocations?model_name=s',
    '/models/s/invoke',
    '/s/predict',
  ]) {
    const response = await post(route)
    assert.equal(response.headers.get('content-length'), null, route)
    assert.equal(await response.text(), '{"i":1}\n{"i":2}\n', route)
  }
  for (const route of ['/v1/models/s:predict', '/v2/models/s/infer']) {
    const response = await post(route, 'texts:["{\\"a\\":","1}"]', EVENTS)
    assert.equal(response.headers.get('content-length'), '7', route)
    assert.equal(await response.text(), '{"a":1}')
    assert.equal((await post(route, 'breaks:')).status, 503)
    const large = await post(route, `large:${MIB}`)
    assert.equal(large.status, 507, 'the limit is for the whole')
  }
})

test('time to the first byte and streams are measured', async () => {
  const it = await server()
  const response = await ask(it, 'paced:30', { 'x-request-id': 'paced' })
  const [, run] = /run;dur=([\d.]+)/.exec(response.headers.get('server-timing') ?? '') ?? []
  await response.text()
  const line = await it.logged((one) => one['msg'] === 'request' && one['requestId'] === 'paced')
  assert.equal(line['firstByteMs'], Number(run))
  assert.ok(Number(line['runMs']) - Number(run) > 100, JSON.stringify(line))
  assert.equal(line['bytesOut'], 5 * 8)
  const page = await (await it.manage('/metrics')).text()
  for (const outcome of ['complete', 'failed', 'cancelled'])
    assert.match(
      page,
      new RegExp(
        `^onnxd_streams_total\\{model="\\w+",version="1.0",outcome="${outcome}"\\} \\d`,
        'm',
      ),
    )
  assert.match(page, /^onnxd_stream_first_byte_seconds_count\{model="s",version="1.0"\} [1-9]/m)
  assert.match(page, /^onnxd_stream_seconds_sum\{model="s",version="1.0"\} \d/m)
})

test('the deadline counts between chunks; a server that stops waits for its streams', async (t) => {
  const it = await serve(t, [streamModel(t, 's', { workers: 2 * httpProcesses })], {
    allowHandlers: true,
    responseTimeout: 1,
    drainTimeout: 3,
  })
  const [paced, hanging] = await Promise.all([ask(it, 'paced:400'), ask(it, 'hangs:', EVENTS)])
  const { text } = await read(hanging)
  assert.match(text, /^data: one\n\nevent: error\ndata: .*"code":504.*did not respond within 1 s/)
  assert.equal((await paced.text()).length, 40, 'it takes 2 s')

  const unread = await ask(it, `never:${path.join(temporaryFolder(t), 'end')}`)
  const last = await ask(it, 'paced:150')
  const closed = it.close()
  assert.equal((await read(last)).text.length, 40)
  await closed
  assert.equal((await read(unread)).isWhole, false, 'the drain timeout ends it')
})
