/**
 * A model with a full queue, as clients see it: requests are rejected immediately in the form of
 * their REST dialect, and no accepted request is lost.
 */
import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { queuedRequests } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { serve, until } from '../helpers/server.ts'

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly isReused: boolean
}

/** Posts over one connection that is kept. */
function poster(
  t: TestContext,
  origin: string,
): (path: string, body: string | Buffer, headers?: OutgoingHttpHeaders) => Promise<Answer> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  return (path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, origin),
        { method: 'POST', agent, headers },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => (text += part))
          response.once('end', () =>
            resolve({
              status: response.statusCode,
              headers: response.headers,
              body: text,
              isReused: sent.reusedSocket,
            }),
          )
        },
      )
      sent.once('error', reject)
      sent.end(body)
    })
}

test(
  'a full queue refuses in every dialect, keeps the connection, and loses nothing',
  { skip: oneProcess('its queue') },
  async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, queueSize: 1 })
    const gate = newGate(t)
    const ask = (): Promise<Response> =>
      server.fetch('/predictions/tool', {
        method: 'POST',
        body: `wait:${gate.path}`,
        headers: { 'content-type': 'text/plain' },
      })
    const accepted = [ask()]
    await gate.holds(1)
    accepted.push(ask())
    await until(async () => (await queuedRequests(server, 'tool')) === 1)

    const post = poster(t, server.inferenceUrl)
    const message =
      'No worker is available to serve request for model: tool. Consider increasing job queue size.'
    const original = { code: 503, type: 'ServiceUnavailableException', message }
    for (const [path, body] of [
      ['/predictions/tool', original],
      ['/predictions/tool/1.0', original],
      ['/invocations', original],
      ['/models/tool/invoke', original],
      ['/tool/predict', original],
      ['/v2/models/tool/infer', { error: message }],
      ['/v2/models/tool/versions/1.0/infer', { error: message }],
      ['/v1/models/tool:predict', { error: message }],
    ] as const) {
      const answer = await post(path, '{}')
      assert.equal(answer.status, 503, path)
      assert.deepEqual(JSON.parse(answer.body), body, path)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/)
      assert.match(String(answer.headers['x-request-id']), /^[\w-]+$/)
      assert.equal(answer.headers['cache-control'], 'no-cache, no-store, must-revalidate, private')
      assert.equal(answer.isReused, path !== '/predictions/tool', 'the connection is kept')
    }
    // It is refused before its content type is looked at.
    assert.equal((await post('/predictions/tool', '{}', { 'content-type': ';' })).status, 503)
    // What does not come with its head is refused when it is there.
    assert.equal((await post('/predictions/tool', Buffer.alloc(1024 * 1024))).status, 503)
    // Nothing else is hidden by the overload.
    assert.equal((await post('/predictions/other', '{}')).status, 404)
    assert.equal((await post('/v2/models/other/infer', '{}')).status, 404)

    gate.open()
    for (const answer of accepted) assert.equal((await answer).status, 200)
    assert.equal((await post('/predictions/tool', 'echo:again')).status, 200)
    const metrics = parseMetrics(await (await server.manage('/metrics')).text())
    const rejected = 'onnxd_rejected_total{model="tool",reason="queue_full",version="1.0"}'
    assert.equal(metrics.get(rejected), 10)
    const failures = 'onnxd_requests_total{model="tool",status_class="5xx",version="1.0"}'
    assert.equal(metrics.get(failures), 10)
  },
)

test('a model without workers says so in every dialect, with a command that helps', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, workers: 0 })
  const post = poster(t, server.inferenceUrl)
  const command = 'PUT /models/tool/1.0?min_worker=1'
  const message = `No worker is available to serve request for model: tool. It has no workers. Start one on the management listener: ${command}`
  for (const path of ['/predictions/tool', '/v2/models/tool/infer', '/v1/models/tool:predict']) {
    const answer = await post(path, '{}')
    const { message: text, error = text } = JSON.parse(answer.body) as Record<string, unknown>
    assert.deepEqual([answer.status, error], [503, message], path)
    assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/)
  }
  const [method = '', route = ''] = command.split(' ')
  assert.equal((await server.manage(`${route}&synchronous=true`, { method })).status, 200)
  assert.equal((await post('/predictions/tool', 'echo:now')).status, 200)
  assert.equal((await server.manage('/models/tool?min_worker=0', { method })).status, 202)
  await until(async () => (await post('/predictions/tool', 'echo:gone')).status === 503)
  const gone = await post('/predictions/tool', 'echo:gone')
  assert.match(gone.body, /It has no workers\./)
})
