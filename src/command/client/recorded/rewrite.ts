/** Turns a recorded request into one for another version or model. */
import type { RecordedRequest } from '../../../recording/recording.ts'
import { memberOf } from '../../json.ts'

/** What gets the requests. */
export interface Target {
  readonly name: string
  /** The default version if absent. */
  readonly version: string | undefined
}

/** A request that can be sent. */
export interface SendableRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Buffer
}

/**
 * Headers that are about the connection, the trace or the version of the recorded request, or that
 * the sender sets itself.
 */
const NOT_SENT = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'onnxd-record',
  'onnxd-version',
  'te',
  'traceparent',
  'tracestate',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
])
/** Paths whose body names the model. */
const NAMED_IN_BODY = new Set(['/v1/embeddings', '/v1/rerank'])
/** Paths whose body may name the model; each is also below `/models/{model}`. */
const BELOW_MODEL = new Set([
  '/rerank',
  '/embed',
  '/similarity',
  '/embed_all',
  '/embed_sparse',
  '/predict',
  '/tokenize',
  '/decode',
])
const VERSION_SEGMENT = ':version'

/** @returns A text that says why the request cannot be sent, in place of a request. */
export function rewrite(recorded: RecordedRequest, target: Target): SendableRequest | string {
  const named = NAMED_IN_BODY.has(recorded.route) ? withModel(recorded, target) : recorded.body
  if (typeof named === 'string') return named
  return {
    method: recorded.method,
    path: pathFor(recorded, target),
    headers: headersFor(recorded, target),
    body: named,
  }
}

function headersFor(
  { id, headers, redacted }: RecordedRequest,
  { version }: Target,
): Record<string, string | string[]> {
  const secret = new Set(redacted.map((name) => name.toLowerCase()))
  // The id is in the log of both servers.
  const sent: Record<string, string | string[]> = { 'x-request-id': id }
  for (const [name, value] of headers) {
    const lower = name.toLowerCase()
    if (NOT_SENT.has(lower) || secret.has(lower) || lower.startsWith('proxy-')) continue
    const before = sent[name]
    sent[name] = before === undefined ? value : [before, value].flat()
  }
  if (version !== undefined) sent['onnxd-version'] = version
  return sent
}

/** The header names the version, so the path names none. */
function pathFor({ url, route, model }: RecordedRequest, target: Target): string {
  const start = url.indexOf('?')
  const [path, query] = start === -1 ? [url, ''] : [url.slice(0, start), url.slice(start)]
  if (BELOW_MODEL.has(route)) return `/models/${encodeURIComponent(target.name)}${url}`
  if (route === '/invocations') return `${path}${invocationsQuery(query, model, target)}`
  // In /v1/models/:model(…)::predict, the word belongs to the segment of the name.
  const action = /(?<=:):\w+$/.exec(route)?.[0] ?? ''
  const pattern = route.split('/')
  const segments = path.split('/').flatMap((segment, index) => {
    const part = pattern[index] ?? ''
    if (part === VERSION_SEGMENT) return []
    // In /v2/models/:model/versions/:version/infer, the word goes with the version.
    if (pattern[index + 1] === VERSION_SEGMENT && part === 'versions') return []
    if (!part.startsWith(':model')) return [segment]
    return [`${encodeURIComponent(target.name)}${action}`]
  })
  return `${segments.join('/')}${query}`
}

/** The query names the model, or nothing does if the server has only one. */
function invocationsQuery(query: string, model: string, { name }: Target): string {
  const pairs = query.slice(1).split('&')
  const isNamed = pairs.some((pair) => pair.startsWith('model_name='))
  const own = `model_name=${encodeURIComponent(name)}`
  if (isNamed) {
    return `?${pairs.map((pair) => (pair.startsWith('model_name=') ? own : pair)).join('&')}`
  }
  if (name === model) return query
  return query === '' ? `?${own}` : `${query}&${own}`
}

/** Sets the name of the model in a JSON body. */
function withModel({ body, headers, model }: RecordedRequest, { name }: Target): Buffer | string {
  const isCompressed = headers.some(([header]) => header.toLowerCase() === 'content-encoding')
  if (isCompressed) return name === model ? body : 'its compressed body names the model'
  let request: unknown
  try {
    request = JSON.parse(body.toString('utf8'))
  } catch {
    return body
  }
  if (typeof request !== 'object' || memberOf(request, 'model') === name) return body
  return Buffer.from(JSON.stringify({ ...request, model: name }))
}
