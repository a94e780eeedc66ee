/** `/metrics` of a running server: what real requests, failures and registrations leave in it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { hostname } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { httpProcesses, oneProcess, workersFor } from '../helpers/http-processes.ts'
import { needs } from '../helpers/needs.ts'
import { queuedRequests, workersOf } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import type { Scrape } from '../helpers/prometheus.ts'
import { assertSame } from '../helpers/same.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const iris = path.resolve('examples/iris')
const TOOL = 'model="tool",version="1.0"'
const flower = JSON.stringify({ features: [[5.1, 3.5, 1.4, 0.2]] })

async function scrape(server: TestServer, query = ''): Promise<Scrape> {
  const answer = await server.manage(`/metrics${query}`)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  return parseMetrics(await answer.text())
}

async function predict(server: TestServer, route: string, body = flower): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  const answer = await server.fetch(route, { method: 'POST', body, headers })
  await answer.arrayBuffer()
  return answer.status
}

async function ask(server: TestServer, body: string): Promise<number> {
  const headers = { 'content-type': 'text/plain' }
  const answer = await server.fetch('/predictions/tool', { method: 'POST', body, headers })
  await answer.arrayBuffer()
  return answer.status
}

async function readyPids(server: TestServer): Promise<number[]> {
  const workers = await workersOf(server, 'tool')
  return workers.filter(({ status }) => status === 'READY').map(({ pid }) => pid)
}

/** A label of series that are about one HTTP process, if there are several. */
const SHARD = httpProcesses > 1 ? 'shard="0",' : ''
const LAST_SHARD = httpProcesses > 1 ? ',shard="0"' : ''

test('requests are counted by model and outcome', async (t) => {
  const server = await serve(t, [iris])
  const before = await scrape(server)
  assert.equal(before.get('onnxd_request_worker_seconds_count{model="iris",version="1.0"}'), 0)
  for (let round = 0; round < 5; round += 1)
    assert.equal(await predict(server, '/predictions/iris'), 200)
  for (const body of ['[', '{"other":[1]}'])
    assert.equal(await predict(server, '/predictions/iris', body), 400)
  assert.equal(await predict(server, '/predictions/unknown'), 404)
  const after = await scrape(server)
  const of = (name: string, labels = ''): number | undefined =>
    after.get(`${name}{model="iris",${labels}version="1.0"}`)
  assert.equal(of('onnxd_requests_total', 'status_class="2xx",'), 5)
  assert.equal(of('onnxd_requests_total', 'status_class="4xx",'), 2)
  assert.equal(of('onnxd_requests_total', 'status_class="5xx",'), 0)
  assert.equal(of('onnxd_request_queue_seconds_count'), 7)
  assert.equal(of('onnxd_request_worker_seconds_count'), 7)
  assert.equal(of('onnxd_batch_size_sum'), 7)
  assert.equal(of('onnxd_queue_jobs'), 0)
  assert.equal(of('onnxd_workers', 'state="ready",'), workersFor(1))
  assert.ok(
    (after.get(`onnxd_worker_resident_bytes{model="iris",${SHARD}version="1.0",worker="1"}`) ?? 0) >
      10_000_000,
  )
  const seconds = of('onnxd_request_worker_seconds_sum') ?? 0
  assert.ok(seconds > 0 && seconds < 60, String(seconds))
  assert.equal(after.get('onnxd_http_responses_total{listener="inference",status_class="2xx"}'), 5)
  assert.equal(after.get('onnxd_http_responses_total{listener="inference",status_class="4xx"}'), 3)
  assertSame([...after.keys()], [...before.keys()])
})

test(
  'refusals and restarts are counted by their reason',
  { skip: oneProcess('its queue and its worker') },
  async (t) => {
    const server = await serve(t, [handlerModel(t, 'tool')], {
      allowHandlers: true,
      queueSize: 1,
      responseTimeout: 5,
      workerHeapMib: 64,
    })
    const restarted = async (cause: string, times: number): Promise<void> => {
      const series = `onnxd_worker_restarts_total{cause="${cause}",model="tool",version="1.0"}`
      await until(
        async () =>
          (await scrape(server)).get(series) === times && (await readyPids(server)).length === 1,
      )
    }
    const [pid] = await readyPids(server)
    assert.ok(pid)
    process.kill(pid, 'SIGKILL')
    await restarted('signal', 1)
    assert.equal(await ask(server, 'exit:3'), 500)
    await restarted('exit', 1)
    assert.equal(await ask(server, 'spin:'), 504)
    await restarted('timeout', 1)
    assert.equal(await ask(server, 'heap:'), 507)
    await restarted('memory', 1)

    const leaving = new AbortController()
    const gate = newGate(t)
    const running = ask(server, `wait:${gate.path}`)
    await gate.holds(1)
    const left = server.fetch('/predictions/tool', {
      method: 'POST',
      body: 'echo:',
      signal: leaving.signal,
    })
    left.catch(() => {})
    await until(async () => (await queuedRequests(server, 'tool')) === 1)
    assert.equal(await ask(server, 'echo:no room'), 503)
    leaving.abort()
    await until(async () => (await queuedRequests(server, 'tool')) === 0)
    gate.open()
    assert.equal(await running, 200)
    const after = await scrape(server)
    const of = (name: string, label: string): number | undefined =>
      after.get(`${name}{model="tool",${label},version="1.0"}`)
    assert.equal(of('onnxd_rejected_total', 'reason="queue_full"'), 1)
    assert.equal(of('onnxd_rejected_total', 'reason="cancelled"'), 1)
    assert.equal(of('onnxd_rejected_total', 'reason="expired"'), 0)
    assert.equal(of('onnxd_requests_total', 'status_class="2xx"'), 1)
    assert.equal(of('onnxd_requests_total', 'status_class="4xx"'), 1)
    assert.equal(of('onnxd_requests_total', 'status_class="5xx"'), 4)
  },
)

test(
  'what handlers print as metrics is shown: summed over workers, past their deaths, until the model goes',
  { skip: oneProcess('the names of its workers') },
  async (t) => {
    const folder = handlerModel(t, 'tool')
    const server = await serve(t, [folder], {
      allowHandlers: true,
      allowLocalPaths: true,
      workers: 2,
    })
    const own = `Hostname="${hostname()}",Level="Model",ModelName="tool"`
    const shows = (name: string, value: number, labels = `${own},${TOOL}`): Promise<boolean> =>
      until(async () => (await scrape(server)).get(`${name}{${labels}}`) === value)
    const metric = (...call: unknown[]): string => `metric:${JSON.stringify(call)}`

    const workers = (): number => {
      const lines = server.logLines.filter(({ line }) => String(line).startsWith('[METRICS]Docs'))
      return new Set(lines.map(({ worker }) => worker)).size
    }
    let docs = 0
    await until(async () => {
      const statuses = Array.from({ length: 8 }, () =>
        ask(server, metric('addCounter', 'Docs', 0.5)),
      )
      assert.deepEqual([...new Set(await Promise.all(statuses))], [200])
      docs += 4
      return workers() === 2
    })
    await shows('Docs', docs)
    assert.equal(await ask(server, metric('addTime', 'Step', 1.5, 0, 's', { Stage: 'one' })), 200)
    await shows('Step', 1.5, `${own},Stage="one",${TOOL}`)
    assert.equal(await ask(server, metric('addMetric', 'Depth', -3)), 200)
    await shows('Depth', -3)
    const histogram = '[METRICS]Sizes.MB:7|#Level:Model|#type:HISTOGRAM|#hostname:box,1790000000'
    assert.equal(await ask(server, `print:${histogram}`), 200)
    await shows('Sizes_count', 1, `Hostname="${hostname()}",Level="Model",${TOOL}`)
    assert.ok((await scrape(server)).has(`PredictionTime{${own},${TOOL}}`))

    const [pid] = await readyPids(server)
    assert.ok(pid)
    process.kill(pid, 'SIGKILL')
    await until(async () => {
      const pids = await readyPids(server)
      return pids.length === 2 && !pids.includes(pid)
    })
    await shows('Docs', docs)
    for (let round = 0; round < 4; round += 1)
      assert.equal(await ask(server, metric('addCounter', 'Docs', 10)), 200)
    await shows('Docs', docs + 40)

    for (const line of ['[METRICS]', '[METRICS]Docs.Count:-1|#|#hostname:box,1', '[METRICS]a.b:c'])
      assert.equal(await ask(server, `print:${line}`), 200)
    await shows(
      'onnxd_handler_metrics_dropped_total',
      3,
      'model="tool",reason="invalid",version="1.0"',
    )
    for (const name of ['onnxd_workers', 'ts_inference_requests_total'])
      assert.equal(await ask(server, metric('addCounter', name, 1)), 200)
    await shows(
      'onnxd_handler_metrics_dropped_total',
      2,
      'model="tool",reason="conflict",version="1.0"',
    )
    await server.logged(({ level, problem }) => level === 40 && problem)
    const warnings = server.logLines.filter(({ level, problem }) => level === 40 && problem)
    assert.deepEqual(
      warnings.map(({ model, problem }) => [model, problem]),
      [['tool', 'onnxd_workers (counter): another metric has this name']],
    )
    const printed = server.logLines.filter(({ line }) => String(line).startsWith('[METRICS]'))
    assert.ok(printed.length > 20, `${printed.length} lines`)
    assert.deepEqual([...new Set(printed.map(({ level }) => level))], [20])

    assert.equal((await server.manage('/models/tool', { method: 'DELETE' })).status, 200)
    const text = await (await server.manage('/metrics')).text()
    assert.doesNotMatch(text, /Docs|Step|PredictionTime|tool/)
    const again = await server.manage(`/models?url=${encodeURIComponent(folder)}`, {
      method: 'POST',
    })
    assert.equal(again.status, 200)
    assert.equal(await ask(server, metric('addCounter', 'Docs', 1)), 200)
    await shows('Docs', 1)
  },
)

test('the route filters by name, wants the token and is not on the inference address', async (t) => {
  const server = await serve(t, [iris], { managementToken: 'secret' })
  assert.equal((await server.manage('/metrics')).status, 401)
  assert.equal((await server.fetch('/metrics')).status, 404)
  const headers = { authorization: 'Bearer secret' }
  const names = async (query: string): Promise<string[]> => {
    const answer = await server.manage(`/metrics?${query}`, { headers })
    assert.equal(answer.status, 200)
    return [...parseMetrics(await answer.text()).keys()]
  }
  assert.deepEqual(await names('name[]=onnxd_queue_jobs'), [
    'onnxd_queue_jobs{model="iris",version="1.0"}',
  ])
  assert.equal((await names('name[]=onnxd_queue_jobs&name%5B%5D=onnxd_queue_bytes')).length, 2)
  assert.deepEqual(await names('name[]=unknown'), [])
})

/** TorchServe's names, which break Prometheus' rules for counters and units. */
const TORCHSERVES = /^(?:Requests[245]XX|ts_(?:inference|queue)_latency_microseconds) /

test(
  'D6: promtool finds nothing wrong with our names',
  { skip: needs('promtool', '--version') },
  async () => {
    const server = await sharedServer([iris])
    assert.equal(await predict(server, '/predictions/iris'), 200)
    const text = await (await server.manage('/metrics')).text()
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    })
    const lines = `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
    assert.deepEqual(
      lines.filter((line) => !TORCHSERVES.test(line)),
      [],
    )
  },
)

test('D6: only a summary has quantiles', async () => {
  const server = await sharedServer([iris])
  const series = [...(await scrape(server)).keys()]
  assert.deepEqual(
    series.filter((one) => one.includes('quantile=')),
    [],
  )
  for (const percentile of ['50', '99', '100'])
    assert.ok(
      series.includes(`onnxd_event_loop_lag_seconds{percentile="${percentile}"${LAST_SHARD}}`),
    )
})

test('D9: the responses by class of status are there under the names of TorchServe', async () => {
  const server = await sharedServer([iris])
  const count = async (name: string): Promise<number> => {
    const found = (await scrape(server)).get(`${name}{Hostname="${hostname()}",Level="Host"}`)
    return found ?? assert.fail(name)
  }
  const before = await count('Requests2XX')
  assert.deepEqual([await count('Requests4XX'), await count('Requests5XX')], [0, 0])
  for (let round = 0; round < 3; round += 1)
    assert.equal(await predict(server, '/predictions/iris'), 200)
  for (let round = 0; round < 2; round += 1)
    assert.equal(await predict(server, '/predictions/none'), 404)
  assert.equal((await server.manage('/nowhere')).status, 404)
  assert.equal(await predict(server, '/v2/repository/index'), 503)
  assert.deepEqual([await count('Requests4XX'), await count('Requests5XX')], [3, 1])
  // Those that asked for the counts are counted as well.
  assert.ok((await count('Requests2XX')) >= before + 3)
  const text = await (await server.manage('/metrics?name[]=Requests2XX')).text()
  assert.match(
    text,
    /^# TYPE Requests2XX counter\nRequests2XX\{Level="Host",Hostname="[^"]+"\} \d+\n$/m,
  )
})
