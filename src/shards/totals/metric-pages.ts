/** Adds up pages of `/metrics`, one of each HTTP process. */

/** A family of a page. */
export interface Family {
  readonly type: string
  /** The lines with its help and type. */
  readonly head: readonly string[]
  /** The value of each series, by its name and labels as written. */
  readonly series: ReadonlyMap<string, number>
}

/** The families of a page, by name. */
export type Page = ReadonlyMap<string, Family>

/** Gauges whose sum over all processes is the value of the server. */
const ADDITIVE: ReadonlySet<string> = new Set([
  'onnxd_queue_jobs',
  'onnxd_queue_bytes',
  'onnxd_inflight_requests',
  'onnxd_capacity_requests',
  'onnxd_workers',
  'onnxd_spare_workers',
  'onnxd_model_memory_budget_bytes',
  'onnxd_model_memory_used_bytes',
  'onnxd_models_loaded',
  'onnxd_http_processes',
  // Only process 0 has rollouts.
  'onnxd_rollout_state',
  'onnxd_rollout_share',
  'onnxd_rollout_evidence',
])
/** Families about one process. */
const OF_PROCESS = /^process_/

/** Parses the text format of Prometheus, as this server writes it. */
export function parsePage(text: string): Page {
  const page = new Map<string, Family>()
  let head: string[] = []
  let series = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, keyword, name = '', type = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (keyword === 'HELP') head = [line]
    else if (keyword === 'TYPE') {
      series = new Map()
      page.set(name, { type, head: [...head, line], series })
    } else if (line !== '') {
      const end = line.lastIndexOf(' ')
      series.set(line.slice(0, end), numberOf(line.slice(end + 1)))
    }
  }
  return page
}

/** Writes a page. */
export function pageText(page: Page): string {
  const texts = [...page.values()].map(({ head, series }) => {
    const lines = [...series].map(([key, value]) => `${key} ${textOf(value)}`)
    return `${[...head, ...lines].join('\n')}\n`
  })
  return texts.join('\n')
}

/** Whether the series of all processes are added up. The others get a label with the process. */
export function isSum(name: string, { type }: Family): boolean {
  if (OF_PROCESS.test(name)) return false
  return type === 'counter' || type === 'histogram' || ADDITIVE.has(name)
}

/**
 * Returns one page for all processes: sums, or series with the label `shard`.
 * @param pages The page of each process, by its number.
 * @param gone Sums of processes that have ended.
 */
export function addPages(pages: ReadonlyMap<number, Page>, gone: Page = new Map()): Page {
  const names = new Set([...pages.values()].flatMap((page) => [...page.keys()]))
  const result = new Map<string, Family>()
  for (const name of names) {
    const parts = [...pages].flatMap(([shard, page]) => {
      const family = page.get(name)
      return family === undefined ? [] : [{ shard, family }]
    })
    const [first] = parts
    if (first === undefined) continue
    const series = new Map<string, number>()
    const isAdded = isSum(name, first.family)
    for (const { shard, family } of parts) {
      for (const [key, value] of family.series) {
        if (isAdded) add(series, key, value)
        else series.set(withShard(key, shard), value)
      }
    }
    for (const [key, value] of gone.get(name)?.series ?? []) add(series, key, value)
    result.set(name, { ...first.family, series })
  }
  return result
}

/** The sums of a page that stay when its process ends: what was counted. */
export function countsOf(page: Page): Page {
  const counts = [...page].filter(
    ([name, family]) => isSum(name, family) && family.type !== 'gauge',
  )
  return new Map(counts)
}

/** A model version in the labels of a series; absent for series of the server. */
const VERSION = /model(?:_name)?="(?:[^"\\]|\\.)*",(?:model_)?version="(?:[^"\\]|\\.)*"/

/** Removes the series of model versions that another page does not have. */
export function withoutUnserved(page: Page, served: Page): Page {
  const left = [...page].map(([name, family]): [string, Family] => {
    const versions = new Set([...(served.get(name)?.series.keys() ?? [])].map(versionIn))
    const series = [...family.series].filter(([key]) => versions.has(versionIn(key)))
    return [name, { ...family, series: new Map(series) }]
  })
  return new Map(left)
}

function versionIn(key: string): string | undefined {
  return VERSION.exec(key)?.[0]
}

function add(series: Map<string, number>, key: string, value: number): void {
  series.set(key, (series.get(key) ?? 0) + value)
}

function withShard(key: string, shard: number): string {
  const at = key.indexOf('{')
  if (at === -1) return `${key}{shard="${shard}"}`
  return `${key.slice(0, at)}{shard="${shard}",${key.slice(at + 1)}`
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text)
}

function textOf(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
