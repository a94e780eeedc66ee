/** What is counted and how it is shown, with versions that consist of numbers only. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { messageWithTimes, timesInMessage } from '../../../src/contract/compute-times.ts'
import { ServerError } from '../../../src/errors.ts'
import { restartCause } from '../../../src/models/metrics/causes.ts'
import {
  BATCH_BOUNDS,
  Distribution,
  LATENCY_BOUNDS,
  StatusCounts,
} from '../../../src/models/metrics/counts.ts'
import { ServerMetrics } from '../../../src/models/metrics/page.ts'
import type { ObservedVersion } from '../../../src/models/metrics/page.ts'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { Job } from '../../../src/models/scheduling/queue/job.ts'
import { QueuedJob } from '../../../src/models/scheduling/queue/queued-job.ts'
import { parseMetrics } from '../../helpers/prometheus.ts'

const needsProc = process.platform === 'linux' ? false : 'needs /proc'

type Workers = ObservedVersion['status']['workers']

function version(name: string, workers: Workers = [], queued = 0): ObservedVersion {
  const status = { queued, queuedBytes: queued * 10, running: 2, capacity: 4, workers }
  return { name, version: '1.0', statistics: new VersionMetrics(), status }
}

function server(t: TestContext, versions: readonly ObservedVersion[]): ServerMetrics {
  const metrics = new ServerMetrics(() => versions)
  t.after(() => metrics.close())
  return metrics
}

/** The given job, or one of a client, with the time since which it waits. */
function queuedSince(
  waitingSince: number,
  { statuses }: VersionMetrics,
  job = new Job([], [], { statuses }),
): QueuedJob {
  job.result.catch(() => {})
  return Object.assign(new QueuedJob(job, 1), { waitingSince })
}

test('a distribution counts values on a bound as inside, and those above all bounds in the total', () => {
  const values = new Distribution([1, 2, 4])
  values.observe(1)
  values.observe(1.5, 2)
  values.observe(4)
  values.observe(5)
  assert.deepEqual([values.cumulative, values.sum], [[1, 3, 4, 5], 13])
  for (const bounds of [LATENCY_BOUNDS, BATCH_BOUNDS]) {
    assert.deepEqual(
      bounds,
      [...new Set(bounds)].toSorted((a, b) => a - b),
    )
  }
})

test('statuses count by class, and one that cannot be sent counts as the 500 that is sent instead', () => {
  const counts = new StatusCounts()
  for (const status of [200, 204, 302, 400, 499, 507, 100, 700, Number.NaN]) counts.count(status)
  assert.deepEqual(counts.entries, [
    ['2xx', 2],
    ['3xx', 1],
    ['4xx', 2],
    ['5xx', 4],
  ])
  assert.equal(counts.total, 9)
})

test('the end of a worker is one of few causes', () => {
  for (const [text, hasLoaded, cause] of [
    ['exited with code 0', true, 'exit'],
    ['was killed by SIGSEGV', true, 'signal'],
    ['was stopped by a signal', true, 'signal'],
    ['ran out of memory', true, 'memory'],
    ['ran out of memory', false, 'memory'],
    ['did not respond within 60 s', true, 'timeout'],
    ['violated the worker protocol (unknown command byte 0x58)', true, 'protocol'],
    ['took longer than 120 s', false, 'load'],
    ['exited with code 1', false, 'load'],
    ['closed its connection', true, 'other'],
  ] as const) {
    assert.equal(restartCause(text, hasLoaded), cause, text)
  }
})

test('requests, times and batches of clients are counted, and those of the server itself are not', async (t) => {
  const model = version('iris')
  const { statistics: metrics } = model
  const jobs = [queuedSince(1000, metrics), queuedSince(999.7, metrics)]
  const own = queuedSince(0, metrics, new Job([['describe', 'True']], []))
  assert.equal(metrics.countTaken(jobs, 1000.05), 1000.05)
  metrics.countTaken([own], 5000)
  jobs[0]?.job.resolve({
    id: '',
    contentType: '',
    status: 200,
    reason: '',
    headers: [],
    body: Buffer.alloc(0),
  })
  jobs[1]?.job.reject(new ServerError('ResponseTimeoutException', 'late'))
  own.job.resolve({
    id: '',
    contentType: '',
    status: 200,
    reason: '',
    headers: [],
    body: Buffer.alloc(0),
  })
  metrics.countReturned(jobs, 3)
  metrics.countReturned([own], 100)
  const scrape = parseMetrics(await server(t, [model]).text())
  const of = (name: string, labels = ''): number | undefined =>
    scrape.get(`${name}{${labels}model="iris",version="1.0"}`)
  assert.equal(scrape.get('onnxd_requests_total{model="iris",status_class="2xx",version="1.0"}'), 1)
  assert.equal(scrape.get('onnxd_requests_total{model="iris",status_class="5xx",version="1.0"}'), 1)
  assert.deepEqual(
    ['0.0001', '0.00025', '0.0005', '+Inf'].map((le) =>
      of('onnxd_request_queue_seconds_bucket', `le="${le}",`),
    ),
    [1, 1, 2, 2],
  )
  assert.equal(of('onnxd_request_worker_seconds_count'), 2)
  assert.equal(of('onnxd_request_worker_seconds_sum'), 0.006)
  assert.deepEqual(
    ['1', '2', '+Inf'].map((le) => of('onnxd_batch_size_bucket', `le="${le}",`)),
    [0, 1, 1],
  )
  const torchServe = `{hostname="${hostname()}",model_name="iris",model_version="1.0"}`
  assert.equal(scrape.get(`ts_inference_requests_total${torchServe}`), 2)
  assert.equal(Math.round(scrape.get(`ts_queue_latency_microseconds${torchServe}`) ?? 0), 400)
  assert.equal(Math.round(scrape.get(`ts_inference_latency_microseconds${torchServe}`) ?? 0), 6400)
})

test('queue, workers, memory, refusals and restarts are shown as they are at the scrape', async (t) => {
  const model = version(
    'iris',
    [
      { id: 1, worker: { state: 'ready', pid: process.pid } },
      { id: 2, worker: { state: 'stopped', pid: 1 } },
      { id: 3, worker: { state: 'ready', pid: undefined } },
    ],
    7,
  )
  model.statistics.rejections.expired += 2
  model.statistics.restarts.memory += 1
  const metrics = server(t, [model])
  metrics.responses.management.count(404)
  const scrape = parseMetrics(await metrics.text())
  const value = (series: string): number | undefined => scrape.get(series)
  assert.equal(value('onnxd_queue_jobs{model="iris",version="1.0"}'), 7)
  assert.equal(value('onnxd_inflight_requests{model="iris",version="1.0"}'), 9)
  assert.equal(value('onnxd_capacity_requests{model="iris",version="1.0"}'), 4)
  assert.equal(value('onnxd_queue_bytes{model="iris",version="1.0"}'), 70)
  assert.equal(value('onnxd_workers{model="iris",state="ready",version="1.0"}'), 2)
  assert.equal(value('onnxd_workers{model="iris",state="stopped",version="1.0"}'), 1)
  assert.equal(value('onnxd_workers{model="iris",state="loading",version="1.0"}'), 0)
  assert.equal(value('onnxd_rejected_total{model="iris",reason="expired",version="1.0"}'), 2)
  assert.equal(value('onnxd_worker_restarts_total{cause="memory",model="iris",version="1.0"}'), 1)
  assert.equal(value('onnxd_http_responses_total{listener="management",status_class="4xx"}'), 1)
  assert.equal(value('onnxd_http_responses_total{listener="inference",status_class="4xx"}'), 0)
  const memory = [...scrape].filter(([series]) => series.startsWith('onnxd_worker_resident_bytes'))
  assert.deepEqual(
    memory.map(([series]) => series),
    ['onnxd_worker_resident_bytes{model="iris",version="1.0",worker="1"}'],
  )
  assert.ok((memory[0]?.[1] ?? 0) > 10_000_000)
  assert.ok((value('process_resident_memory_bytes') ?? 0) > 10_000_000)
  assert.ok((value('process_cpu_seconds_total') ?? 0) > 0)
  assert.ok(
    Math.abs((value('process_start_time_seconds') ?? 0) + process.uptime() - Date.now() / 1000) < 5,
  )
  const limit = spawnSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout
  const isLimited = limit.trim() !== 'unlimited'
  assert.equal(value('process_max_fds'), isLimited ? Number(limit) : undefined)
  for (const percentile of ['50', '99', '100']) {
    const lag = value(`onnxd_event_loop_lag_seconds{percentile="${percentile}"}`) ?? -1
    assert.ok(lag >= 0 && lag < 60, `${percentile}: ${lag}`)
  }
})

test('open descriptors are counted when they are asked for', { skip: needsProc }, async (t) => {
  const metrics = server(t, [])
  const open = async (): Promise<number> =>
    parseMetrics(await metrics.text()).get('process_open_fds') ?? 0
  const before = await open()
  assert.equal(before, readdirSync('/proc/self/fd').length - 1)
  const descriptors = Array.from({ length: 7 }, () => openSync(path.resolve('package.json'), 'r'))
  assert.equal(await open(), before + 7)
  for (const descriptor of descriptors) closeSync(descriptor)
  assert.equal(await open(), before)
})

test('the series of a version go with it, and a late response does not bring them back', async (t) => {
  const versions = [version('iris'), version('digits')]
  const metrics = server(t, versions)
  const before = parseMetrics(await metrics.text()).size
  const [gone] = versions.splice(0, 1)
  assert.ok(gone)
  const { job } = queuedSince(0, gone.statistics)
  job.reject(new Error('late'))
  gone.statistics.restarts.exit += 1
  const text = await metrics.text()
  const after = parseMetrics(text).size
  assert.doesNotMatch(text, /iris/)
  assert.match(text, /digits/)
  versions.length = 0
  const none = parseMetrics(await metrics.text()).size
  assert.equal(before - after, after - none, 'each version has as many series')
  assert.ok(before - after > 50)
})

test('scrapes that run at the same time agree, and counters do not grow by being read', async (t) => {
  const model = version('iris', [{ id: 1, worker: { state: 'ready', pid: process.pid } }])
  model.statistics.statuses.count(200)
  const metrics = server(t, [model])
  const texts = await Promise.all(Array.from({ length: 5 }, () => metrics.text()))
  for (const text of texts) {
    const scrape = parseMetrics(text)
    assert.equal(
      scrape.get('onnxd_requests_total{model="iris",status_class="2xx",version="1.0"}'),
      1,
    )
    assert.ok(scrape.has('onnxd_worker_resident_bytes{model="iris",version="1.0",worker="1"}'))
  }
})

test('families can be picked by their name or that of one of their series', async (t) => {
  const metrics = server(t, [version('iris')])
  const names = async (...wanted: string[]): Promise<string[]> => {
    const text = await metrics.text(wanted)
    parseMetrics(text)
    return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)
  }
  assert.deepEqual(await names('onnxd_workers'), ['onnxd_workers'])
  assert.deepEqual(
    await names(
      'onnxd_batch_size_count',
      'onnxd_batch_size',
      'unknown',
      '__proto__',
      'constructor',
    ),
    ['onnxd_batch_size'],
  )
  assert.deepEqual(await names('unknown'), [])
  assert.ok((await names()).length > 15)
})

test('label values are escaped', async (t) => {
  const scrape = parseMetrics(await server(t, [version('a"b\\c\nd')]).text(['onnxd_queue_jobs']))
  assert.deepEqual([...scrape.keys()], ['onnxd_queue_jobs{model="a\\"b\\\\c\\nd",version="1.0"}'])
})

test('the parts of a batch count for each of its requests; without them all of its time is the run', () => {
  const metrics = new VersionMetrics()
  const batch = [queuedSince(0, metrics), queuedSince(0, metrics)]
  const message = messageWithTimes({ input: 1, infer: 5.5, output: 0.25 })
  metrics.countReturned(batch, 10, timesInMessage(message, 10))
  assert.deepEqual(metrics.computeMs, { input: 2, infer: 11, output: 0.5 })
  metrics.countReturned(batch, 4)
  assert.deepEqual(metrics.computeMs, { input: 2, infer: 19, output: 0.5 })
  for (const other of [
    'Prediction success',
    'Prediction success. [NS]:1,2',
    'Prediction success. [NS]:1,2,-3',
    'Prediction success. [NS]:1,2,1e3',
    // More than there was.
    'Prediction success. [NS]:0,0,4000001',
  ]) {
    const before = metrics.computeMs.infer
    metrics.countReturned(batch, 4, timesInMessage(other, 4))
    assert.deepEqual(metrics.computeMs, { input: 2, infer: before + 8, output: 0.5 }, other)
  }
  metrics.countReturned([queuedSince(0, metrics, new Job([], []))], 10)
  assert.equal(metrics.computeMs.infer, 11 + 6 * 8, 'what no client asked for')
})
