/**
 * A strict parser of Prometheus' text format. It fails an assertion for everything that a scraper
 * could reject.
 */
import assert from 'node:assert/strict'

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\[\\\\"n])*)"'
const SERIES = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`)

/**
 * The values of a page by series: `name{label="value",…}`, with the labels in alphabetical order.
 */
export type Scrape = ReadonlyMap<string, number>

/** Parses a whole page. */
export function parseMetrics(text: string): Scrape {
  const values = new Map<string, number>()
  const families = new Map<string, string>()
  let family = ''
  if (text === '') return values
  assert.ok(text.endsWith('\n'), 'the last line ends')
  for (const line of text.split('\n')) {
    const help = /^# HELP (\S+) (.+)$/.exec(line)
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (line === '') continue
    if (help) {
      family = help[1] ?? ''
      assert.ok(!families.has(family), `${family} comes once`)
      families.set(family, '')
    } else if (type) {
      assert.equal(type[1], family)
      families.set(family, type[2] ?? '')
    } else {
      const match = SERIES.exec(line)
      assert.ok(match, `a series: ${line}`)
      const [, name = '', labels = ''] = match
      const isPart = families.get(family) === 'histogram'
      assert.ok(
        isPart ? new RegExp(`^${family}_(bucket|sum|count)$`).test(name) : name === family,
        line,
      )
      const value = match.at(-1) === '+Inf' ? Infinity : Number(match.at(-1))
      assert.ok(!Number.isNaN(value), line)
      if (families.get(family) === 'counter') assert.ok(value >= 0, line)
      const pairs = [...labels.matchAll(new RegExp(LABEL, 'g'))]
      assert.equal(new Set(pairs.map(([, label]) => label)).size, pairs.length, line)
      const sorted = pairs.map(([pair]) => pair).toSorted()
      const key = sorted.length === 0 ? name : `${name}{${sorted.join(',')}}`
      assert.ok(!values.has(key), `${key} comes once`)
      values.set(key, value)
    }
  }
  for (const [name, type] of families) if (type === 'histogram') checkBuckets(name, values)
  return values
}

/** Checks each histogram: its buckets never decrease, and the last one equals the count. */
function checkBuckets(name: string, values: Scrape): void {
  const last = new Map<string, { le: number; count: number }>()
  for (const [key, count] of values) {
    if (!key.startsWith(`${name}_bucket{`)) continue
    const le = Number(/[{,]le="([^"]+)"/.exec(key)?.[1]?.replace('+Inf', 'Infinity'))
    const labels = key.slice(`${name}_bucket`.length).replace(/(?<=[{,])le="[^"]+",?/, '')
    const rest = `${name}_count${labels}`
    const before = last.get(rest)
    if (before) assert.ok(le > before.le && count >= before.count, key)
    last.set(rest, { le, count })
  }
  for (const [key, { le, count }] of last) {
    assert.equal(le, Infinity, key)
    assert.equal(values.get(key), count, key)
    assert.ok(values.has(`${name}_sum${key.slice(`${name}_count`.length)}`), key)
  }
}
