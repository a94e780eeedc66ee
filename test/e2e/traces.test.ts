/** Traces of requests, sent to a collector. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { queuedRequests } from '../helpers/observe.ts'
import { receiveTraces } from '../helpers/otlp-receiver.ts'
import type { ReceivedSpan, Receiver } from '../helpers/otlp-receiver.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { serve, start, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

/** The environment that makes a server send its traces soon, as JSON. */
const sending = ({ url }: Receiver): NodeJS.ProcessEnv => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_BSP_SCHEDULE_DELAY: '50',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
})

const post = (id: string, body: string, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body,
  headers: { 'content-type': 'text/plain', 'x-request-id': id, ...headers },
})

/** The span of a request, and those that have it as a parent. */
async function requestSpans(
  collector: Receiver,
  id: string,
): Promise<{ request: ReceivedSpan; parts: Record<string, ReceivedSpan> }> {
  const request = await collector.span(({ attributes }) => attributes['onnxd.request.id'] === id)
  const parts = collector.spans.filter(({ traceId }) => traceId === request.traceId)
  return { request, parts: Object.fromEntries(parts.map((span) => [span.name, span])) }
}

/** Duration in milliseconds. The difference is taken of whole nanoseconds, so that it is exact. */
function durationOf({ startTimeUnixNano, endTimeUnixNano }: ReceivedSpan): number {
  return Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6
}

async function logLine(server: TestServer, id: string): Promise<Record<string, unknown>> {
  return server.logged(({ msg, requestId }) => msg === 'request' && requestId === id)
}

test(
  'a request that waits has the same numbers in its trace, and its handler is part of it',
  { skip: oneProcess('its queue') },
  async (t) => {
    const collector = await receiveTraces(t)
    const tool = handlerModel(t, 'tool', { workers: 1 })
    const environment = { ...sending(collector), OTEL_SERVICE_NAME: 'flowers' }
    const server = await serve(t, [tool], { allowHandlers: true }, { environment })
    const gate = newGate(t)
    const first = server.fetch('/predictions/tool', post('first', `wait:${gate.path}`))
    await gate.holds(1)
    const traced = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'shop=7' }
    const second = server.fetch('/predictions/tool', post('second', 'headers:', traced))
    await until(async () => (await queuedRequests(server, 'tool')) === 1)
    gate.open()
    await (await first).text()
    const response = await second
    const atHandler = (await response.json()) as Record<string, string>

    const { request, parts } = await requestSpans(collector, 'second')
    const { queue, run } = parts
    assert.ok(queue !== undefined && run !== undefined, Object.keys(parts).join())
    assert.deepEqual([request.traceId, request.parentSpanId, request.kind], [TRACE, PARENT, 2])
    assert.equal(request.name, 'POST /predictions/:model')
    assert.deepEqual([queue.parentSpanId, run.parentSpanId], [request.spanId, request.spanId])
    assert.equal(atHandler['traceparent'], `00-${TRACE}-${request.spanId}-01`)
    assert.equal(atHandler['tracestate'], 'shop=7')
    assert.equal(queue.attributes['onnxd.wait_reason'], 'no free worker')
    const line = await logLine(server, 'second')
    assert.equal(line['traceId'], TRACE)
    // A time since 1970 has a resolution of a quarter of a microsecond.
    assert.ok(Math.abs(durationOf(queue) - Number(line['queueMs'])) < 0.002, `${durationOf(queue)}`)
    assert.ok(Math.abs(durationOf(run) - Number(line['runMs'])) < 0.002, `${durationOf(run)}`)
    const { attributes, resource } = request
    assert.deepEqual(
      ['http.response.status_code', 'http.route', 'url.path', 'onnxd.model.name'].map(
        (name) => attributes[name],
      ),
      [200, '/predictions/:model', '/predictions/tool', 'tool'],
    )
    assert.equal(resource['service.name'], 'flowers')
    assert.equal(resource['deployment.environment.name'], 'test')
    assert.equal(response.headers.get('traceparent'), null)
  },
)

test('a batch is linked to its requests', { skip: oneProcess('its batches') }, async (t) => {
  const collector = await receiveTraces(t)
  const tool = handlerModel(t, 'tool', { workers: 1, batchSize: 2, maxBatchDelay: 10_000 })
  const environment = sending(collector)
  const server = await serve(t, [tool], { allowHandlers: true }, { environment })
  const pair = ['one', 'two'].map((id) =>
    server.fetch('/predictions/tool', post(id, 'batch:', { traceparent: 'no trace' })),
  )
  for (const response of await Promise.all(pair))
    assert.deepEqual(await response.json(), { size: 2 })
  const batch = await collector.span(({ name }) => name === 'batch')
  const both = await Promise.all(['one', 'two'].map((id) => requestSpans(collector, id)))
  assert.deepEqual(
    batch.links.map(({ spanId }) => spanId).toSorted(),
    both.map(({ request }) => request.spanId).toSorted(),
  )
  for (const { request, parts } of both) {
    assert.equal(request.parentSpanId, undefined)
    assert.deepEqual(
      parts['run']?.links.map(({ spanId }) => spanId),
      [batch.spanId],
    )
  }
  assert.notEqual(both[0]?.request.traceId, both[1]?.request.traceId)
})

test('errors are marked, health checks have no trace', async (t) => {
  const collector = await receiveTraces(t)
  const tool = handlerModel(t, 'tool', { workers: 1 })
  const environment = sending(collector)
  const server = await serve(t, [tool], { allowHandlers: true }, { environment })
  assert.equal((await server.fetch('/ping')).status, 200)
  const unknown = await server.fetch('/predictions/none', post('unknown', 'x'))
  assert.equal(unknown.status, 404)
  const { request } = await requestSpans(collector, 'unknown')
  assert.equal(request.attributes['error.type'], 'ModelNotFoundException')
  assert.equal(request.status.code, 0)
  const thrown = await server.fetch('/predictions/tool', post('thrown', 'throw:x'))
  assert.equal(thrown.status, 503)
  const failed = await requestSpans(collector, 'thrown')
  assert.equal(failed.request.status.code, 2)
  assert.ok(collector.spans.every(({ name }) => !name.startsWith('GET')))
})

test('the parts of a worker are in its run, and the last spans are sent when the server stops', async (t) => {
  const collector = await receiveTraces(t)
  const environment = { ...sending(collector), OTEL_BSP_SCHEDULE_DELAY: '3600000' }
  const server = await serve(t, [iris], {}, { environment })
  await (await server.fetch('/predictions/iris', FLOWER)).text()
  await server.close()
  const run = collector.spans.find(({ name }) => name === 'run')
  const parts = collector.spans.filter(({ parentSpanId }) => parentSpanId === run?.spanId)
  assert.deepEqual(parts.map(({ name }) => name).toSorted(), ['decode', 'encode', 'infer'])
  for (const { startTimeUnixNano, endTimeUnixNano } of parts) {
    assert.ok(BigInt(startTimeUnixNano) >= BigInt(run?.startTimeUnixNano ?? 0))
    assert.ok(BigInt(endTimeUnixNano) <= BigInt(run?.endTimeUnixNano ?? 0))
  }
})

test('a client that decides against a sample gets none, and the handler learns it', async (t) => {
  const collector = await receiveTraces(t)
  const tool = handlerModel(t, 'tool', { workers: 1 })
  const environment = sending(collector)
  const server = await serve(t, [tool], { allowHandlers: true }, { environment })
  const unsampled = { traceparent: `00-${TRACE}-${PARENT}-00` }
  const response = await server.fetch('/predictions/tool', post('no', 'headers:', unsampled))
  const { traceparent } = (await response.json()) as Record<string, string>
  assert.match(String(traceparent), new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-00$`))
  await server.close()
  assert.deepEqual(collector.spans, [])
})

test('protobuf is the default; a collector that is away costs no request and is reported', async (t) => {
  const collector = await receiveTraces(t)
  const { OTEL_EXPORTER_OTLP_PROTOCOL: _json, ...environment } = sending(collector)
  const server = await serve(t, [iris], {}, { environment })
  await (await server.fetch('/predictions/iris', FLOWER)).text()
  await until(() => collector.bodies.length > 0)
  assert.equal(collector.contentTypes[0], 'application/x-protobuf')
  const bytes = Buffer.concat(collector.bodies)
  assert.ok(bytes.includes('POST /predictions/:model') && bytes.includes('service.version'))

  const away = {
    ...sending(collector),
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_EXPORTER_OTLP_TIMEOUT: '500',
  }
  const alone = await serve(t, [iris], {}, { environment: away })
  const response = await alone.fetch('/predictions/iris', FLOWER)
  assert.equal(response.status, 200, await response.text())
  const line = await alone.logged(({ msg }) => String(msg).startsWith('problem with traces'))
  assert.match(String(line['problem']), /ECONNREFUSED/)
  const before = performance.now()
  await alone.close()
  assert.ok(performance.now() - before < 5000)
})

test('what is not supported ends the start with the remedy', async (t) => {
  for (const [environment, expected] of [
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, /OTEL_TRACES_EXPORTER is "zipkin"; onnxd supports otlp/],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' },
      /expected a URL such as http:\/\/localhost/,
    ],
    [
      { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      /OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; onnxd supports http\/protobuf/,
    ],
  ] as const) {
    const args = [iris, '--port', '0', '--management-port', '0']
    await assert.rejects(start(t, args, { environment }), expected)
  }
})
