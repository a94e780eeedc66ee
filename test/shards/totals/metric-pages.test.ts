/** The pages of several processes, added up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { addPages, pageText, parsePage } from '../../../src/shards/totals/metric-pages.ts'
import { MetricTotals } from '../../../src/shards/totals/metric-totals.ts'
import type { MetricSource } from '../../../src/shards/totals/metric-totals.ts'

const VERSION = 'model="a",version="1"'

function pageOf(requests: number, more = ''): string {
  return `# HELP onnxd_requests_total Requests.
# TYPE onnxd_requests_total counter
onnxd_requests_total{${VERSION},status_class="2xx"} ${requests}
${more}`
}

function source(index: number, answer: () => string | undefined): MetricSource {
  return { index, ask: () => Promise.resolve(answer()) }
}

/** The value of the only series of a family. */
function valueOf(text: string, name: string): number | undefined {
  return [...(parsePage(text).get(name)?.series.values() ?? [])][0]
}

test('counters, histograms and additive gauges are added, other series get the label shard', () => {
  const page = (number: number): string => `# HELP onnxd_batch_size Requests in one batch.
# TYPE onnxd_batch_size histogram
onnxd_batch_size_bucket{${VERSION},le="1"} ${number}
onnxd_batch_size_bucket{${VERSION},le="+Inf"} ${number + 1}

# HELP onnxd_queue_jobs Requests that wait.
# TYPE onnxd_queue_jobs gauge
onnxd_queue_jobs{${VERSION}} ${number}

# HELP process_cpu_seconds_total CPU.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total ${number}

# HELP mine A gauge of a handler. # TYPE no
# TYPE mine gauge
mine{text="} 1 {"} +Inf
`
  const pages = new Map([
    [0, parsePage(page(1))],
    [2, parsePage(page(10))],
  ])
  assert.equal(
    pageText(addPages(pages)),
    `# HELP onnxd_batch_size Requests in one batch.
# TYPE onnxd_batch_size histogram
onnxd_batch_size_bucket{${VERSION},le="1"} 11
onnxd_batch_size_bucket{${VERSION},le="+Inf"} 13

# HELP onnxd_queue_jobs Requests that wait.
# TYPE onnxd_queue_jobs gauge
onnxd_queue_jobs{${VERSION}} 11

# HELP process_cpu_seconds_total CPU.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total{shard="0"} 1
process_cpu_seconds_total{shard="2"} 10

# HELP mine A gauge of a handler. # TYPE no
# TYPE mine gauge
mine{shard="0",text="} 1 {"} +Inf
mine{shard="2",text="} 1 {"} +Inf
`,
  )
})

test('a page of one process is read and written without a change', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true })), (values) => {
      const lines = values.map((value, index) => `x{i="${index}"} ${value}\n`)
      const text = `# HELP x A number.\n# TYPE x counter\n${lines.join('')}`
      assert.equal(pageText(parsePage(text)), text)
    }),
  )
})

test('a counter does not fall when a process hangs or ends', async () => {
  const totals = new MetricTotals()
  let answer: string | undefined = pageOf(100)
  const first = source(1, () => answer)
  const read = async (sources: readonly MetricSource[], own = 1): Promise<number | undefined> =>
    valueOf(await totals.text(pageOf(own), sources, []), 'onnxd_requests_total')
  assert.equal(await read([first]), 101)
  answer = undefined
  assert.equal(await read([first], 2), 102)
  totals.end(first)
  assert.equal(await read([source(1, () => pageOf(3))], 2), 105)
  totals.end(source(2, () => undefined))
  assert.equal(await read([], 2), 102)
  // The counts of an unregistered model do not come back with another one of its name.
  assert.equal(valueOf(await totals.text('', [], []), 'onnxd_requests_total'), undefined)
  assert.equal(await read([], 0), 0)
})
