/** Reads the header `Server-Timing`, and says where the time of a request went. */

/** One metric of the header. */
export interface TimingMetric {
  readonly name: string
  /** Milliseconds; absent if the metric has no duration. */
  readonly duration: number | undefined
  readonly description: string | undefined
}

/** A part of the time of a request. */
export interface TimePart {
  readonly name: PartName
  readonly label: string
  /** What happened in this time. */
  readonly meaning: string
  readonly ms: number
}

type PartName = 'body' | 'queue' | 'decode' | 'infer' | 'encode' | 'run' | 'rest'

/** The time of a request, as the server and the browser measured it. */
export interface RequestTime {
  readonly parts: readonly TimePart[]
  /** Requests that shared the run, of the limit; for example `1/8`. */
  readonly batch: string | undefined
  readonly totalMs: number
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const QUOTED = /"(?:[^"\\]|\\.)*"/y

/** The metrics of a header (W3C Server Timing). What cannot be read is skipped. */
export function parseServerTiming(header: string): TimingMetric[] {
  return splitOutside(header, ',').flatMap((entry) => {
    const [first = '', ...parameters] = splitOutside(entry, ';')
    const name = first.trim()
    if (name === '' || take(TOKEN, name, 0) !== name) return []
    const values = new Map<string, string>()
    for (const parameter of parameters) {
      const [key = '', ...rest] = parameter.split('=')
      const lower = key.trim().toLowerCase()
      // The first one counts.
      if (!values.has(lower)) values.set(lower, valueOf(rest.join('=').trim()))
    }
    const duration = Number(values.get('dur') ?? Number.NaN)
    return [
      {
        name,
        duration: Number.isFinite(duration) ? duration : undefined,
        description: values.get('desc'),
      },
    ]
  })
}

/**
 * The parts of the total time.
 * @param totalMs From sending the request to the end of the response, measured by the browser.
 */
export function requestTime(header: string | null, totalMs: number): RequestTime {
  const metrics = new Map(parseServerTiming(header ?? '').map((metric) => [metric.name, metric]))
  const of = (name: string): number => Math.max(0, metrics.get(name)?.duration ?? 0)
  const inner = (['decode', 'infer', 'encode'] as const).filter((name) => metrics.has(name))
  const innerMs = inner.reduce((sum, name) => sum + of(name), 0)
  const parts: TimePart[] = []
  const add = (name: PartName, ms: number): void => {
    const [label, meaning] = MEANINGS[name]
    parts.push({ name, label, meaning, ms })
  }
  if (metrics.has('body')) add('body', of('body'))
  if (metrics.has('queue')) add('queue', of('queue'))
  for (const name of inner) add(name, of(name))
  if (metrics.has('run')) add('run', Math.max(0, of('run') - innerMs))
  const known = parts.reduce((sum, { ms }) => sum + ms, 0)
  add('rest', Math.max(0, totalMs - known))
  return { parts, batch: metrics.get('batch')?.description, totalMs }
}

const MEANINGS: Readonly<Record<PartName, readonly [label: string, meaning: string]>> = {
  body: ['body', 'The server receives the body of the request.'],
  queue: ['queue', 'The request waits for a worker, or for others in its batch.'],
  decode: ['decode', 'The worker reads the request and makes the input of the model.'],
  infer: ['infer', 'The model computes.'],
  encode: ['encode', 'The worker writes the response.'],
  run: ['transfer', 'The batch goes to the worker and back.'],
  rest: ['network and browser', 'Connection, HTTP, writing of the response, and this browser.'],
}

function take(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}

function valueOf(text: string): string {
  const quoted = take(QUOTED, text, 0)
  if (quoted !== '') return quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')
  return take(TOKEN, text, 0)
}

/** Splits at a separator that is not in a quoted string. */
function splitOutside(text: string, separator: string): string[] {
  const parts = ['']
  let at = 0
  while (at < text.length) {
    const quoted = take(QUOTED, text, at)
    const next = quoted === '' ? (text[at] ?? '') : quoted
    if (next === separator) parts.push('')
    else parts[parts.length - 1] += next
    at += next.length
  }
  return parts
}
