/**
 * Why a request was slow: `Server-Timing`, `Onnxd-Explain`, the access log and the histogram agree.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { queuedRequests } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

/** The numbers of a `Server-Timing` header, by name. */
function timesOf(response: Response): Record<string, number | string> {
  const header = response.headers.get('server-timing') ?? ''
  return Object.fromEntries(
    header.split(', ').map((metric) => {
      const [name = '', parameter = ''] = metric.split(';')
      const [kind, value = ''] = parameter.split('=')
      return [name, kind === 'dur' ? Number(value) : value]
    }),
  )
}

interface Explanation {
  readonly model: string
  readonly version: string
  readonly worker?: number
  readonly batch?: { readonly size: number; readonly limit: number }
  readonly runs?: number
  readonly waitedFor: readonly string[]
  readonly ms: Readonly<Record<string, number>>
}

function explanationOf(response: Response): Explanation {
  return JSON.parse(response.headers.get('onnxd-explain') ?? 'null') as Explanation
}

const explained = (id: string, body: string): RequestInit => ({
  method: 'POST',
  body,
  headers: { 'content-type': 'text/plain', 'onnxd-explain': 'true', 'x-request-id': id },
})

async function logLine(server: TestServer, id: string): Promise<Record<string, unknown>> {
  return server.logged(({ msg, requestId }) => msg === 'request' && requestId === id)
}

test(
  'a request that waits for a worker shows the same time everywhere',
  { skip: oneProcess('its queue') },
  async (t) => {
    const tool = handlerModel(t, 'tool', { workers: 1 })
    const server = await serve(t, [tool], { allowHandlers: true })
    const gate = newGate(t)
    const first = server.fetch('/predictions/tool', explained('first', `wait:${gate.path}`))
    await gate.holds(1)
    const second = server.fetch('/predictions/tool', {
      ...explained('second', 'echo:x'),
      headers: {
        ...explained('second', '').headers,
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      },
    })
    await until(async () => (await queuedRequests(server, 'tool')) === 1)
    gate.open()
    await (await first).text()
    const response = await second
    assert.equal(await response.text(), 'x')

    const times = timesOf(response)
    const explanation = explanationOf(response)
    assert.deepEqual(Object.keys(times), ['body', 'queue', 'batch', 'run'])
    assert.equal(times['batch'], '"1/1"')
    assert.ok(Number(times['queue']) > 0)
    assert.equal(explanation.ms['queue'], times['queue'])
    assert.equal(explanation.ms['run'], times['run'])
    assert.ok(explanation.waitedFor.includes('no free worker'), explanation.waitedFor.join())
    assert.deepEqual(
      [
        explanation.model,
        explanation.version,
        explanation.worker,
        explanation.batch,
        explanation.runs,
      ],
      ['tool', '1.0', 1, { size: 1, limit: 1 }, 1],
    )
    const line = await logLine(server, 'second')
    assert.deepEqual(
      [
        line['queueMs'],
        line['runMs'],
        line['batch'],
        line['worker'],
        line['model'],
        line['version'],
      ],
      [times['queue'], times['run'], 1, 1, 'tool', '1.0'],
    )
    assert.deepEqual([line['bytesIn'], line['bytesOut']], [6, 1])
    assert.equal(line['traceId'], '0af7651916cd43dd8448eb211c80319c')
    const page = parseMetrics(await (await server.manage('/metrics')).text())
    const sum = page.get('onnxd_request_queue_seconds_sum{model="tool",version="1.0"}') ?? 0
    const firstMs = Number((await logLine(server, 'first'))['queueMs'])
    assert.ok(Math.abs(sum * 1000 - firstMs - Number(times['queue'])) < 0.01, `${sum}`)
  },
)

test(
  'requests that wait for a batch say so, and errors have times as well',
  { skip: oneProcess('its batches and its worker') },
  async (t) => {
    const tool = handlerModel(t, 'tool', { workers: 1, batchSize: 4, maxBatchDelay: 50 })
    const server = await serve(t, [tool], { allowHandlers: true, queueTimeout: 1 })
    const alone = await server.fetch('/predictions/tool', explained('alone', 'batch:'))
    const { waitedFor, batch } = explanationOf(alone)
    assert.ok(waitedFor.includes('batch filling'), waitedFor.join())
    assert.deepEqual(batch, { size: 1, limit: 4 })

    const thrown = await server.fetch('/predictions/tool', explained('thrown', 'throw:x'))
    assert.equal(thrown.status, 503)
    assert.ok(Number(timesOf(thrown)['run']) > 0)

    const gate = newGate(t)
    const held = server.fetch('/predictions/tool', explained('held', `wait:${gate.path}`))
    await gate.holds(1)
    const late = await server.fetch('/predictions/tool', {
      ...explained('late', 'echo:x'),
      headers: { ...explained('late', '').headers, 'onnxd-timeout-ms': '100' },
    })
    assert.equal(late.status, 503)
    const times = timesOf(late)
    assert.deepEqual(Object.keys(times), ['body', 'queue'])
    // The limit counts from the arrival of the request. On a busy machine, a part of it passes
    // before the queue.
    assert.ok(Number(times['queue']) > 50, String(times['queue']))
    assert.deepEqual(explanationOf(late).waitedFor.at(-1), 'no free worker')
    const line = await logLine(server, 'late')
    assert.deepEqual(
      [line['type'], line['status'], line['model']],
      ['ServiceUnavailableException', 503, 'tool'],
    )
    gate.open()
    await (await held).text()
  },
)

test('a model of the built-in handler tells the parts of its run; the header can be disabled', async (t) => {
  const server = await sharedServer([iris])
  const response = await server.fetch('/predictions/iris', FLOWER)
  const times = timesOf(response)
  assert.deepEqual(Object.keys(times), [
    'body',
    'queue',
    'batch',
    'run',
    'decode',
    'infer',
    'encode',
  ])
  const parts = ['decode', 'infer', 'encode'].reduce((sum, name) => sum + Number(times[name]), 0)
  assert.ok(parts <= Number(times['run']))
  assert.equal(response.headers.get('onnxd-explain'), null)

  const quiet = await serve(t, [path.resolve('examples/iris')], { serverTiming: false })
  const without = await quiet.fetch('/predictions/iris', FLOWER)
  assert.equal(without.status, 200)
  assert.equal(without.headers.get('server-timing'), null)
})

test('a busy front-end is a reason', async () => {
  const server = await sharedServer([iris])
  let isOver = false
  const flood = Array.from({ length: 48 }, async () => {
    while (!isOver) await (await server.fetch('/openapi.json')).text()
  })
  await until(async () => {
    const headers = { ...FLOWER.headers, 'onnxd-explain': 'true' }
    const response = await server.fetch('/predictions/iris', { ...FLOWER, headers })
    const { waitedFor, ms } = explanationOf(response)
    assert.ok(Number(ms['eventLoop']) >= 0)
    return waitedFor.includes('busy event loop')
  })
  isOver = true
  await Promise.all(flood)
})

test('one of many successful requests is logged, and each that fails', async (t) => {
  const server = await serve(t, [path.resolve('examples/iris')], { accessLogSample: 10 })
  for (let index = 0; index < 20; index += 1) {
    await (await server.fetch('/predictions/iris', FLOWER)).text()
    await (await server.fetch('/predictions/none', FLOWER)).text()
  }
  await server.close()
  const lines = server.logLines.filter(({ msg }) => msg === 'request')
  assert.equal(lines.filter(({ status }) => status === 404).length, 20)
  const logged = lines.filter(
    ({ route, status }) => route === '/predictions/:model' && status === 200,
  )
  assert.equal(logged.length, 2)
})
