/**
 * Metrics that handlers print, from the line to the metrics page. No line may cause a failure, and
 * the number of metrics is limited.
 */
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { readSubject, splitMetricsLine } from '../../../src/models/metrics/handler-line.ts'
import type { PrintedMetric } from '../../../src/models/metrics/handler-line.ts'
import { PRINTED_BOUNDS } from '../../../src/models/metrics/handler-metrics.ts'
import type { PrintedMetrics } from '../../../src/models/metrics/handler-metrics.ts'
import { ServerMetrics } from '../../../src/models/metrics/page.ts'
import type { ObservedVersion } from '../../../src/models/metrics/page.ts'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { Metrics } from '../../../src/worker/process/custom/metrics.ts'
import { parseMetrics } from '../../helpers/prometheus.ts'
import type { Scrape } from '../../helpers/prometheus.ts'
import { randomNumbers } from '../../helpers/random.ts'

const TAIL = '|#hostname:box,1790000000'
const HOST = `Hostname="${hostname()}"`
const DIMENSIONS = 'ModelName:words,Level:Model'

interface Line {
  readonly dimensions?: string
  readonly type?: string
}

/** A line as workers print it. */
function line(head: string, { dimensions = '', type }: Line = {}): string {
  return `[METRICS]${head}|#${dimensions}${type === undefined ? '' : `|#type:${type}`}${TAIL},9f1c`
}

function read(text: string): (PrintedMetric & { value: number }) | undefined {
  const split = splitMetricsLine(text)
  const metric = split && readSubject(split.subject)
  return metric && { ...metric, value: split.value }
}

function version(name: string, ...lines: string[]): ObservedVersion & { printed: PrintedMetrics } {
  const metrics = new VersionMetrics()
  for (const one of lines) metrics.printed.take(one)
  const status = { queued: 0, queuedBytes: 0, running: 0, capacity: 0, workers: [] }
  return { name, version: '1.0', statistics: metrics, status, printed: metrics.printed }
}

function page(t: TestContext, versions: readonly ObservedVersion[], names: string[] = []) {
  const metrics = new ServerMetrics(() => versions)
  t.after(() => metrics.close())
  return metrics.text(names)
}

/** The series of handlers of a page; those of the server are left out. */
async function scrape(t: TestContext, ...versions: ObservedVersion[]): Promise<Scrape> {
  const all = parseMetrics(await page(t, versions))
  const isPrinted = (series: string): boolean =>
    series.includes(HOST) && !/^(?:ts_|Requests[245]XX)/.test(series)
  return new Map([...all].filter(([series]) => isPrinted(series)))
}

function typesOf(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  )
}

test('lines of MMS and TorchServe are read; what has no type is a counter if it counts', () => {
  const labels = { Level: 'Model', ModelName: 'words' }
  for (const [text, expected] of [
    // As MMS's worker prints them: a request, a batch, none.
    [
      `[METRICS]PredictionTime.Milliseconds:3.25|#${DIMENSIONS}${TAIL},9f1c`,
      { name: 'PredictionTime', unit: 'Milliseconds', type: 'gauge', value: 3.25, labels },
    ],
    [
      `[METRICS]Answers.Count:3|#${DIMENSIONS}${TAIL},9f1c,9f1d,9f1e`,
      { name: 'Answers', unit: 'Count', type: 'counter', value: 3, labels },
    ],
    [
      `[METRICS]Free.unit:-1.5e-07|#${TAIL}`,
      { name: 'Free', unit: 'unit', type: 'gauge', value: -1.5e-7, labels: {} },
    ],
    // As TorchServe's does.
    [
      `[METRICS]HandlerTime.ms:0.5|#${DIMENSIONS}|#type:GAUGE${TAIL},9f1c`,
      { name: 'HandlerTime', unit: 'ms', type: 'gauge', value: 0.5, labels },
    ],
    [
      `[METRICS]Docs.unit:2|#${DIMENSIONS}|#type:COUNTER${TAIL}`,
      { name: 'Docs', unit: 'unit', type: 'counter', value: 2, labels },
    ],
    [
      `[METRICS]Depth.Count:2|#Level:Model|#type:GAUGE${TAIL}`,
      { name: 'Depth', unit: 'Count', type: 'gauge', value: 2, labels: { Level: 'Model' } },
    ],
    [
      `[METRICS]Sizes.MB:1e+20|#${DIMENSIONS}|#type:HISTOGRAM${TAIL},9f1c`,
      { name: 'Sizes', unit: 'MB', type: 'histogram', value: 1e20, labels },
    ],
  ] as const) {
    assert.deepEqual(read(text), expected, text)
  }
})

test('names and labels become what Prometheus allows', () => {
  for (const [name, expected] of [
    ['tokens-per.second', 'tokens_per_second'],
    ['a:b', 'a_b'],
    ['9lives', '_9lives'],
    ['größe {x="1"}', 'gr__e__x__1__'],
    ['x'.repeat(300), 'x'.repeat(100)],
  ] as const) {
    assert.equal(read(line(`${name}.unit:1`))?.name, expected)
  }
  for (const [dimensions, expected] of [
    [
      'model:other,version:7,Hostname:box,le:1',
      {
        exported_model: 'other',
        exported_version: '7',
        exported_Hostname: 'box',
        exported_le: '1',
      },
    ],
    ['__name__:up,__proto__:x', { exported___name__: 'up', exported___proto__: 'x' }],
    ['a-b: 1 , c : http://x/y,nothing,:empty,empty:', { a_b: '1', c: 'http://x/y' }],
    ['twice:1,twice:2', { twice: '2' }],
    [`long:${'é'.repeat(300)}`, { long: 'é'.repeat(200) }],
    [`half:${'x'.repeat(199)}😀`, { half: 'x'.repeat(199) }],
    ['control:a\u0000b\tc', { control: 'a b c' }],
    ['constructor:1', { constructor: '1' }],
  ] as const) {
    const labels = read(line('m.unit:1', { dimensions }))?.labels ?? {}
    assert.deepEqual(Object.entries(labels).toSorted(), Object.entries(expected).toSorted())
  }
})

test('what is no metric is counted and changes nothing', async (t) => {
  const many = Array.from({ length: 17 }, (_, index) => `d${index}:1`).join(',')
  const bad = [
    '[METRICS]',
    '[METRICS]Failed to update metric with name:x and dimensions: y with value: -1: negative',
    line('Oops.unit:bad', { dimensions: 'Level:Error' }),
    line('NoUnit:1'),
    line('.unit:1'),
    line('NoName.:1'),
    line('NoValue.unit:'),
    ...[
      'nan',
      'NaN',
      'inf',
      '-Infinity',
      '1e999',
      '0x10',
      '1,5',
      ' 1',
      '1e',
      '.',
      '--1',
      'None',
    ].map((value) => line(`Odd.unit:${value}`)),
    line('Negative.Count:-1'),
    line('Negative.unit:-1', { type: 'COUNTER' }),
    line('Type.unit:1', { type: 'SUMMARY' }),
    line('Type.unit:1', { type: 'counter' }),
    line('Twice.unit:1', { type: 'COUNTER|#type:GAUGE' }),
    line('Many.unit:1', { dimensions: many }),
    line('Long.unit:1', { dimensions: `a:${'x'.repeat(2000)}` }),
    '[METRICS]NoHost.unit:1|#Level:Model',
    `[METRICS]NoDimensions.unit:1${TAIL}`,
  ]
  const model = version('words', ...bad)
  assert.deepEqual(model.printed.dropped, { invalid: bad.length, conflict: 0, limit: 0 })
  const shown = await scrape(t, model)
  assert.deepEqual([...new Set(shown.values())], [0], [...shown.keys()].join('\n'))
  const all = parseMetrics(await page(t, [model]))
  const dropped = (reason: string): number | undefined =>
    all.get(`onnxd_handler_metrics_dropped_total{model="words",reason="${reason}",version="1.0"}`)
  assert.deepEqual([dropped('invalid'), dropped('conflict'), dropped('limit')], [bad.length, 0, 0])
})

test('counters add up, gauges show the last, histograms observe; ids of requests are nowhere', async (t) => {
  const model = version(
    'words',
    line('Docs.Count:2', { dimensions: DIMENSIONS }),
    line('Docs.Count:0.5', { dimensions: 'Level:Model,ModelName:words' }),
    line('Docs.Count:1', { dimensions: `Stage:two,${DIMENSIONS}` }),
    line('PredictionTime.Milliseconds:3', { dimensions: DIMENSIONS }),
    line('PredictionTime.Milliseconds:1', { dimensions: DIMENSIONS }),
    line('Sizes.MB:0.001', { type: 'HISTOGRAM' }),
    line('Sizes.MB:7', { type: 'HISTOGRAM' }),
    line('Sizes.MB:1e6', { type: 'HISTOGRAM' }),
  )
  const text = await page(t, [model])
  assert.doesNotMatch(text, /9f1c/)
  assert.match(
    text,
    /^# HELP PredictionTime Metric that handlers print, in the unit Milliseconds\.$/m,
  )
  const shown = await scrape(t, model)
  const own = `${HOST},Level="Model",ModelName="words"`
  assert.equal(shown.get(`Docs{${own},model="words",version="1.0"}`), 2.5)
  assert.equal(shown.get(`Docs{${own},Stage="two",model="words",version="1.0"}`), 1)
  assert.equal(shown.get(`PredictionTime{${own},model="words",version="1.0"}`), 1)
  const bucket = (le: string): number | undefined =>
    shown.get(`Sizes_bucket{${HOST},le="${le}",model="words",version="1.0"}`)
  assert.deepEqual(['0.001', '5', '10', '10000', '+Inf'].map(bucket), [1, 1, 2, 2, 3])
  assert.equal(shown.get(`Sizes_sum{${HOST},model="words",version="1.0"}`), 1_000_007.001)
  assert.equal(shown.get(`Sizes_count{${HOST},model="words",version="1.0"}`), 3)
  const types = typesOf(text)
  assert.deepEqual(
    ['Docs', 'PredictionTime', 'Sizes'].map((name) => types.get(name)),
    ['counter', 'gauge', 'histogram'],
  )
  assert.equal(shown.size, 3 + PRINTED_BOUNDS.length + 3)
  const picked = typesOf(await page(t, [model], ['Docs', 'Sizes_count', 'constructor']))
  assert.deepEqual([...picked.keys()], ['Docs', 'Sizes'])
})

test('lines of our own worker come through', async (t) => {
  const metrics = new Metrics('words', ['one', 'two'])
  metrics.addCounter('Docs', 2, 0)
  metrics.addCounter('Docs', 3, 1, { 'Stage,x': 'a\n[METRICS]' })
  metrics.addTime('Step', 1.5, null, 's')
  metrics.addSize('Model', 3)
  metrics.addPercent('Load', 50)
  metrics.addMetric('Tokens', -7, null, 'tokens/s')
  metrics.addError('Oops', 'bad')
  const model = version('words', ...metrics.takeLines().trimEnd().split('\n'))
  assert.deepEqual(model.printed.dropped, { invalid: 1, conflict: 0, limit: 0 })
  const own = `{${HOST},Level="Model",ModelName="words",model="words",version="1.0"}`
  const shown = await scrape(t, model)
  const values = ['Docs', 'Step', 'Model', 'Load', 'Tokens'].map((name) => shown.get(name + own))
  assert.deepEqual(values, [2, 1.5, 3, 50, -7])
  assert.equal([...shown].find(([series]) => series.includes('x="a [METRICS]"'))?.[1], 3)
})

test("no name can be one of the server's, and one name has one type", async (t) => {
  const own = typesOf(await page(t, []))
  assert.ok(own.size > 15)
  const model = version('words')
  for (const name of [...own.keys(), 'onnxd_mine', 'constructor', 'toString', '__proto__'])
    model.printed.take(line(`${name}.unit:1`))
  assert.equal(model.printed.dropped.conflict, own.size + 4)
  assert.equal(model.printed.families.size, 0)

  const other = version('other', line('Docs.Count:1'), line('Sizes.MB:1', { type: 'HISTOGRAM' }))
  const said = [
    line('Docs.Count:5', { type: 'GAUGE' }),
    line('Docs.Count:5', { type: 'HISTOGRAM' }),
    line('Sizes_sum.unit:5'),
    line('Sizes.unit:5'),
  ].map((one) => other.printed.take(one))
  assert.match(said[0] ?? '', /^Docs \(gauge\): /)
  assert.deepEqual(said.slice(1), [undefined, undefined, undefined], 'once is enough for the log')
  assert.equal(other.printed.dropped.conflict, 4)
  const shown = await scrape(t, other)
  assert.equal(shown.get(`Docs{${HOST},model="other",version="1.0"}`), 1)
  assert.equal(shown.get(`Sizes_sum{${HOST},model="other",version="1.0"}`), 1)
})

test('models that mean different types by a name share it as a gauge, and none loses a series', async (t) => {
  const histogram = { type: 'HISTOGRAM' }
  const versions = [
    version('a', line('Docs.Count:1'), line('Time.s:1', histogram), line('Size.MB:1', histogram)),
    version('b', line('Docs.unit:2'), line('Time.s:2'), line('Size_count.unit:2')),
    version('c', line('Docs.unit:3', histogram), line('Size_bucket.MB:3', histogram)),
    version('d', line('Fine.s:4', histogram)),
  ]
  for (const order of [versions, versions.toReversed()]) {
    const text = await page(t, order)
    const types = typesOf(text)
    for (const name of ['Docs', 'Docs_count', 'Time', 'Time_sum', 'Size_count', 'Size_bucket_sum'])
      assert.equal(types.get(name), 'gauge', name)
    assert.equal(types.get('Fine'), 'histogram')
    const shown = await scrape(t, ...order)
    const of = (name: string, model: string): number | undefined =>
      shown.get(`${name}{${HOST},model="${model}",version="1.0"}`)
    assert.deepEqual([of('Docs', 'a'), of('Docs', 'b'), of('Docs_sum', 'c')], [1, 2, 3])
    assert.deepEqual([of('Time_sum', 'a'), of('Time', 'b')], [1, 2])
    assert.deepEqual(
      [of('Size_count', 'a'), of('Size_count', 'b'), of('Size_bucket_sum', 'c')],
      [1, 2, 3],
    )
    const histograms = 5
    assert.equal(shown.size, 4 + histograms * (PRINTED_BOUNDS.length + 3))
  }
  const alone = typesOf(await page(t, versions.slice(0, 1)))
  assert.deepEqual(
    ['Docs', 'Time', 'Size'].map((name) => alone.get(name)),
    ['counter', 'histogram', 'histogram'],
  )
})

test('there is room for 100 names and 1000 series; what is there goes on', async (t) => {
  const names = version('names')
  const said: string[] = []
  for (let index = 0; index < 100_000; index += 1) {
    const problem = names.printed.take(line(`m${index}.unit:1`))
    if (problem !== undefined) said.push(problem)
  }
  assert.deepEqual([names.printed.families.size, names.printed.dropped.limit], [100, 99_900])
  assert.deepEqual(said, ['m100: the handlers of the server print too many metric names or labels'])
  names.printed.take(line('m7.unit:8'))
  const labels = version('labels')
  for (let index = 0; index < 100_000; index += 1)
    labels.printed.take(line('m.Count:1', { dimensions: `i:${index % 5000}` }))
  assert.equal(labels.printed.dropped.limit, 80_000)
  const histograms = version('histograms')
  for (let index = 0; index < 100; index += 1)
    histograms.printed.take(line(`h${index}.unit:1`, { type: 'HISTOGRAM' }))
  const shown = await scrape(t, names, labels, histograms)
  const count = (model: string): number =>
    [...shown.keys()].filter((series) => series.includes(`model="${model}"`)).length
  assert.deepEqual(['names', 'labels', 'histograms'].map(count), [100, 1000, 1000])
  assert.equal(shown.get(`m7{${HOST},model="names",version="1.0"}`), 8)
  assert.equal(shown.get(`m{${HOST},i="999",model="labels",version="1.0"}`), 20)
})

test('numbers that grow too large stay legal', async (t) => {
  const huge = Array.from({ length: 3 }, () => line('Huge.Count:1e308'))
  const shown = await scrape(t, version('words', ...huge))
  assert.equal(shown.get(`Huge{${HOST},model="words",version="1.0"}`), Infinity)
})

test('random lines never throw, and every page is well formed', async (t) => {
  const random = randomNumbers(20_260_728)
  const pieces = [
    '[METRICS] |# | # : , . = " \\ { } - + e hostname: |#hostname: type: |#type:COUNTER |#type:GAUGE',
    '|#type:HISTOGRAM 1 0 99 NaN Count .Count: .unit: Name le model _sum _count __proto__ constructor',
    'é 😀 \ud800 \udc00 \u0000 \r \u2028 \u0085',
  ].flatMap((some) => [' ', ...some.split(' ')])
  const text = (most: number): string =>
    Array.from(
      { length: random.integer(0, most) },
      () => pieces[random.integer(0, pieces.length - 1)],
    ).join('')
  const plain = (most: number): string => text(most).replaceAll('|#', '')
  let taken = 0
  for (let round = 0; round < 20; round += 1) {
    const model = version(`m${round}`)
    for (let index = 0; index < 500; index += 1) {
      const type = ['', '|#type:COUNTER', '|#type:GAUGE', '|#type:HISTOGRAM'][random.integer(0, 3)]
      const dimensions = `${plain(3)}:${plain(3)},${plain(3)}:${plain(3)}`
      model.printed.take(`[METRICS]${text(12)}`)
      model.printed.take(
        `[METRICS]${plain(4)}.unit:${random.integer(-9, 99)}|#${dimensions}${type}${TAIL}${text(3)}`,
      )
    }
    taken += model.printed.families.size
    const shown = await scrape(
      t,
      model,
      version('other', line('Name.unit:1'), line('le.unit:1', { type: 'HISTOGRAM' })),
    )
    assert.ok(shown.size > 1)
  }
  assert.ok(taken > 1000, `${taken} names were taken`)
})
