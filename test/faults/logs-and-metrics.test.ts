/** Block L: what clients and handlers can put into the log and into the metrics. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { modelNames } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import type { Scrape } from '../helpers/prometheus.ts'
import { assertSame } from '../helpers/same.ts'
import { FLOWER, iris, residentBytes } from '../helpers/server-process.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { assertError, block, rowsOfOneProcess, size } from './harness.ts'
import type { Laboratory } from './harness.ts'

const MIB = 2 ** 20
/**
 * V8 lets its young generation grow to 32 MiB under load, and the old one until it is collected.
 */
const MAX_GROWTH = 80 * MIB
/** Of the model `tool`, to register it under other names. */
let toolFolder = ''
const row = block({
  models: (t) => [(toolFolder = handlerModel(t, 'tool', { workers: 1 }))],
})
const cappedRow = rowsOfOneProcess(row, 'the number of series of its handlers')

const text = { 'content-type': 'text/plain' }

async function scrape(server: TestServer): Promise<Scrape> {
  const answer = await server.manage('/metrics')
  assert.equal(answer.status, 200)
  return parseMetrics(await answer.text())
}

/** Characters that begin a new line, move a terminal's cursor or break JSON. */
const NASTY: Readonly<Record<string, string>> = {
  'line feed': 'a\nb{"level":60,"msg":"forged"}',
  'carriage return': 'a\r{"level":60,"msg":"forged"}',
  both: 'a\r\n{"level":60,"msg":"forged"}\r\n',
  terminal: '\u001B[2J\u001B]0;forged\u0007',
  'C1 control': '\u009B2J\u0085',
  'line separator': 'a\u2028{"level":60}\u2029',
  quotes: '"}{"level":60,"msg":"forged"}',
  NUL: 'a\0b',
  'lone surrogate': '\uD800',
  'right to left': '\u202Eforged',
}

/** Sends bytes as they are and waits for the end of the response. */
function sendRaw(url: string, request: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    // Its side stays open: a client that closes it before the response has left, see N08.
    const socket = connect(Number(port), hostname, () => socket.write(request, 'latin1'))
    let received = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk))
    socket.on('close', () => resolve(received)).on('error', reject)
  })
}

/**
 * Fails if a line of the log is forged or contains a character that moves the cursor of a terminal.
 */
function assertLinesAreOurs(server: Laboratory, from: number): void {
  const lines = server.logLines.slice(from)
  assert.ok(lines.length > 0)
  for (const line of lines) {
    assert.notEqual(line.msg, 'forged')
    assert.equal(typeof line.time, 'number', JSON.stringify(line))
    assert.ok(Number(line.level) < 60, JSON.stringify(line))
  }
}

row('L01', 'nothing that a client or a handler sends begins a line of the log', async (server) => {
  const from = server.logLines.length
  for (const [name, nasty] of Object.entries(NASTY)) {
    // Text of UTF-8 has no half of a pair.
    const wellFormed = Buffer.from(nasty).toString()
    const encoded = encodeURIComponent(wellFormed)
    // As a name of a model, in paths and parameters, of both listeners.
    assertError(await server.predict(encoded, 'x'), 400, 404)
    assertError(await server.call('GET', `/models/${encoded}`), 400, 404)
    assertError(await server.call('POST', `/models?url=${encoded}`), 400, 403, 404)
    assertError(await server.call('POST', `/models?url=x.onnx&model_name=${encoded}`), 400, 404)
    const form = new FormData()
    form.set('model_name', wellFormed)
    form.set('model', new File(['no model'], `${wellFormed}.onnx`))
    assertError(await server.call('POST', '/models', form), 400, 404)
    // As a header, a target and a request id, as far as HTTP lets it pass.
    for (const line of [`User-Agent: ${nasty}`, `X-Request-Id: ${nasty}`, `Referer: ${nasty}`]) {
      const response = await sendRaw(
        server.inferenceUrl,
        `GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${line}\r\n\r\n`,
      )
      assert.match(response, /^HTTP\/1\.1 (?:200|400) /, name)
      const head = response.split('\r\n\r\n')[0]?.split('\r\n').slice(1) ?? []
      assert.ok(
        head.every((field) => /^[\w-]+: [^\r\n]*$/.test(field)),
        head.join('\n'),
      )
    }
    const raw = await sendRaw(
      server.inferenceUrl,
      `GET /${nasty} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    assert.match(raw, /^HTTP\/1\.1 [45]\d\d /, name)
    // Printed, thrown and returned by a handler.
    assert.equal((await server.predict('tool', `print:${nasty}`)).status, 200, name)
    assertError(await server.predict('tool', `throw:${nasty}`), 503)
    await server.predict('tool', `status:200,${nasty}`)
    await server.predict('tool', `header:${JSON.stringify(['x-nasty', nasty])}`)
  }
  await server.logged(
    ({ line }) => String(line).includes('right to left') || String(line).includes('\u202E'),
  )
  assertLinesAreOurs(server, from)
  // `messages` has the lines on stderr that are not JSON. The harness asserts that it is empty.
})

row(
  'L02',
  'unknown names make no series and cost no memory',
  async (server, t) => {
    const count = size(1000, 100_000)
    const before = await scrape(server)
    const ask = async (from: number, to: number): Promise<void> => {
      for (let first = from; first < to; first += 50) {
        const statuses = await Promise.all(
          Array.from({ length: 50 }, async (_, index) => {
            const name = `unknown-${first + index}`
            const routes = [`/predictions/${name}`, `/v2/models/${name}/infer`, `/${name}`]
            const answer = await server.fetch(routes[index % 3] ?? '', { ...FLOWER })
            await answer.arrayBuffer()
            return answer.status
          }),
        )
        assert.deepEqual([...new Set(statuses)], [404])
      }
    }
    await ask(0, count / 10)
    const bytes = residentBytes([server.pid])
    await ask(count / 10, count)
    const grown = residentBytes([server.pid]) - bytes
    t.diagnostic(`${(grown / MIB).toFixed(1)} MiB more after ${count * 0.9} requests`)
    assert.ok(grown < MAX_GROWTH, `${grown} bytes`)
    const after = await scrape(server)
    assertSame([...after.keys()], [...before.keys()])
    const unknown = 'onnxd_http_responses_total{listener="inference",status_class="4xx"}'
    assert.equal((after.get(unknown) ?? 0) - (before.get(unknown) ?? 0), count)
  },
  { timeout: 600_000 },
)

row('L03', 'whatever a handler prints as a metric, the page stays well formed', async (server) => {
  await server.register('labels', toolFolder, {})
  const values = [
    'a"b',
    'a\\b',
    'a\\"b',
    'a\\nb',
    '\\',
    '{',
    '}',
    'a,b="c"',
    'é\u2028',
    '# TYPE x gauge',
  ]
  for (const [number, value] of values.entries()) {
    for (const call of [
      ['addMetric', `Depth${number}`, number, null, 'unit', { Stage: value }],
      ['addMetric', `Depth${value}`, number],
      ['addCounter', 'Odd', 1, null, { [value]: 'x' }],
    ]) {
      assert.equal((await server.predict('labels', `metric:${JSON.stringify(call)}`)).status, 200)
    }
    for (const line of [
      `[METRICS]Raw${number}.Count:1|#Stage:${value},Level:Model|#hostname:box,1790000000`,
      `[METRICS]${value}.Count:1|#Level:Model|#hostname:${value},1790000000`,
    ]) {
      assert.equal((await server.predict('labels', `print:${line}`)).status, 200)
    }
  }
  // The parser fails on any line that is not well formed.
  const found = await until(async () => {
    const page = await scrape(server)
    return [...page.keys()].some((series) => series.startsWith('Depth9')) && page
  })
  const escaped = [...found.keys()].filter((series) => /Stage="a\\"b"|Stage="a\\\\b"/.test(series))
  assert.ok(escaped.length >= 2, escaped.join('\n'))
  await server.unregister('labels')
})

cappedRow(
  'L04',
  'a handler that makes up names and labels is capped, and the rest is counted',
  async (server, t) => {
    await server.register('flood', toolFolder, {})
    const count = size(2000, 100_000)
    const started = residentBytes([server.pid])
    for (let first = 0; first < count; first += 100) {
      const lines = Array.from({ length: 100 }, (_, index) => {
        const number = first + index
        return number % 2 === 0
          ? `[METRICS]Name${number}.Count:1|#Level:Model|#hostname:box,1790000000`
          : `[METRICS]Same.Count:1|#Id:${number},Level:Model|#hostname:box,1790000000`
      })
      assert.equal((await server.predict('flood', `print:${lines.join('\n')}`)).status, 200)
    }
    const dropped =
      'onnxd_handler_metrics_dropped_total{model="flood",reason="limit",version="1.0"}'
    const page = await until(async () => {
      const now = await scrape(server)
      const own = [...now.keys()].filter((series) => /^(?:Name|Same)/.test(series)).length
      return own + (now.get(dropped) ?? 0) >= count && now
    }, 120_000)
    const own = [...page.keys()].filter((series) => /^(?:Name|Same)/.test(series))
    assert.ok(own.length <= 1000, `${own.length} series`)
    const names = new Set(own.map((series) => series.split('{')[0]))
    assert.ok(names.size <= 100, `${names.size} names`)
    const grown = residentBytes([server.pid]) - started
    t.diagnostic(`${own.length} series of ${count}; ${(grown / MIB).toFixed(1)} MiB more`)
    assert.ok(grown < MAX_GROWTH, `${grown} bytes`)
    // Those of other models and of the server are there.
    assert.ok(page.has('onnxd_queue_jobs{model="reference",version="1.0"}'))
    await server.unregister('flood')
    const after = await scrape(server)
    assert.deepEqual(
      [...after.keys()].filter((series) => /flood|^Name|^Same/.test(series)),
      [],
    )
  },
  { timeout: 900_000 },
)

test('L05 the series of a model go when it is unregistered, even while it still works, and start anew with it', async (t) => {
  const folder = handlerModel(t, 'tool')
  const server = await serve(t, [folder, iris], { allowHandlers: true, allowLocalPaths: true })
  const ask = async (body: string): Promise<number> => {
    const init = { method: 'POST', body, headers: text }
    const answer = await server.fetch('/predictions/tool', init)
    await answer.arrayBuffer()
    return answer.status
  }
  assert.equal(await ask('echo:1'), 200)
  assert.equal(await ask('metric:["addCounter","Docs",1]'), 200)
  await until(async () => [...(await scrape(server)).keys()].some((one) => one.startsWith('Docs')))
  const gate = newGate(t)
  const slow = ask(`wait:${gate.path}`)
  await gate.holds(1)
  const removed = server.manage('/models/tool', { method: 'DELETE' })
  await until(async () => (await modelNames(server)).join() === 'iris')
  const hasSeries = async (): Promise<boolean> =>
    [...(await scrape(server)).keys()].some((series) => /"tool"|^Docs/.test(series))
  assert.equal(await hasSeries(), false)
  gate.open()
  assert.equal(await slow, 200)
  assert.equal((await removed).status, 200)
  assert.equal(await hasSeries(), false)
  const again = await server.manage(`/models?url=${encodeURIComponent(folder)}`, { method: 'POST' })
  assert.equal(again.status, 200)
  const series = 'onnxd_requests_total{model="tool",status_class="2xx",version="1.0"}'
  assert.equal((await scrape(server)).get(series), 0)
})
