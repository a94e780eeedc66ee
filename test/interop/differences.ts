/** Known differences between MMS and onnxd. Each has a row in docs/compatibility.md. */

/** One thing that is not the same in two answers. */
export interface Difference {
  /** Name of the case. */
  readonly name: string
  /** `status`, `phrase`, `body`, or `header …`. */
  readonly what: string
  readonly mms: string | undefined
  readonly onnxd: string | undefined
  /** Statuses of the two answers. */
  readonly statuses: readonly [mms: number, onnxd: number]
}

type Explains = (difference: Difference) => boolean

/** The first rule that explains a difference names it: those for any answer come first. */
export const KNOWN_DIFFERENCES: readonly (readonly [id: string, explains: Explains])[] = [
  ['phrase', ({ what, mms, statuses: [a, b] }) => what === 'phrase' && mms === '' && a === b],
  ['date', ({ what, mms }) => /^header (date|keep-alive)$/.test(what) && mms === undefined],
  ['server-timing', ({ what, mms }) => what === 'header server-timing' && mms === undefined],
  ['connection', header('connection', 'close', 'keep-alive')],
  [
    'cache-control',
    header(
      'cache-control',
      'no-cache; no-store, must-revalidate, private',
      'no-cache, no-store, must-revalidate, private',
    ),
  ],
  ['content-type', header('content-type', undefined, 'application/octet-stream')],
  [
    'allow',
    ({ what, mms, statuses: [, b] }) => what === 'header allow' && mms === undefined && b === 405,
  ],
  [
    'retry-after',
    ({ what, mms, statuses: [, b] }) =>
      what === 'header retry-after' && mms === undefined && b === 503,
  ],
  [
    'json-escapes',
    ({ what, mms, onnxd }) => what === 'body' && mms !== onnxd && unescaped(mms) === onnxd,
  ],
  [
    'next-step',
    ({ what, mms, onnxd }) => what === 'body' && onnxd !== mms && withoutNextStep(onnxd) === mms,
  ],
  ['content-sniffing', header('x-content-type-options', undefined, 'nosniff')],
  ['request-id', header('x-request-id', '(a new id)', 'mine')],
  [
    'handler-caching',
    header('cache-control', 'no-cache; no-store, must-revalidate, private', 'max-age=60'),
  ],
  ['handler-cors', header('access-control-allow-origin', '*', undefined)],
  ['methods', inCase(/^method: (DELETE|PATCH)$/, 200, 405)],
  ['media-type', inCase(/^body: malformed type$/, 200, 415)],
  ['form-bytes', inCase(/^form: byte that is not valid UTF-8$/, 200, 200)],
  ['form-escapes', inCase(/^form: bad escape$/, 500, 200)],
  ['form-names', inCase(/^form: no value, no name$/, 500, 200)],
  ['part-types', inCase(/^multipart: (file without type|empty file)$/, 200, 200)],
  ['part-names', inCase(/^multipart: empty file name$/, 200, 200)],
  ['multipart', inCase(/^multipart: (no boundary|cut off)$/, 200, 400)],
  ['status-range', inCase(/^handler: status:999$/, 999, 500)],
  ['batch-errors', inCase(/^batch: handler fails for all$/, 500, 503)],
  ['next-page', inCase(/^models: list, last page exactly full$/, 200, 200)],
  ['description', inCase(/^models: describe$/, 200, 200)],
  ['runtime-parameter', inCase(/^models: register, unknown runtime$/, 400, 400)],
  ['undecodable', inCase(/^dangerous: (JSON|text)/, 500, 400)],
  ['no-workers', inCase(/^models: predict without workers$/, 503, 503)],
  ['worker-died', inCase(/^dangerous: handler ends its process$/, 500, 500)],
]

/** A text without the sentence that says what to do now. */
function withoutNextStep(body: string | undefined): string | undefined {
  return body?.replace(' GET /openapi.json lists all paths and methods.', '')
}

function header(name: string, inMms: string | undefined, inOnnxd: string | undefined): Explains {
  return ({ what, mms, onnxd }) => what === `header ${name}` && mms === inMms && onnxd === inOnnxd
}

/** Anything in a case, as long as the statuses are these. */
function inCase(name: RegExp, mms: number, onnxd: number): Explains {
  return (difference) =>
    name.test(difference.name) && difference.statuses[0] === mms && difference.statuses[1] === onnxd
}

/** JSON of the original without the escapes that are meant for HTML. */
function unescaped(json = ''): string {
  return json.replaceAll(/\\u00(3c|3e|26|3d|27)/g, (_, code: string) =>
    String.fromCodePoint(Number.parseInt(code, 16)),
  )
}
