/** Requests that are sent to the original MMS and to onnxd alike. */
import type { RawRequest } from '../helpers/raw-request.ts'

/** One comparison. */
export interface DifferentialCase extends RawRequest {
  readonly name: string
  /** Which listener; the one for predictions when absent. */
  readonly to?: 'management'
  /** How many are sent at once; one when absent. */
  readonly copies?: number
  /** A model to register before and to unregister afterwards. */
  readonly model?: string
  /** Only the names of its JSON fields are compared: their values are times, ids and sizes. */
  readonly comparesFields?: boolean
}

const BOUNDARY = 'b0undary'
const JSON_TYPE = ['Content-Type', 'application/json']
const FORM_TYPE = ['Content-Type', 'application/x-www-form-urlencoded']
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
const PREDICT = '/predictions/m'

/** What arrives at the handler. */
function report(name: string, headers: readonly string[], body: string | Buffer): DifferentialCase {
  return { name, path: PREDICT, headers, body }
}

/** What the handler does. */
function deed(wish: string, model = 'm'): DifferentialCase {
  return {
    name: `handler: ${wish}`,
    path: `/predictions/${model}`,
    headers: ['x-do', wish],
    body: 'x',
  }
}

function form(name: string, body: string): DifferentialCase {
  return report(`form: ${name}`, FORM_TYPE, body)
}

function multipart(
  name: string,
  ...parts: readonly (readonly [head: string, body: string])[]
): DifferentialCase {
  const text = parts.map(([head, body]) => `--${BOUNDARY}\r\n${head}\r\n\r\n${body}\r\n`).join('')
  return report(
    `multipart: ${name}`,
    ['Content-Type', `multipart/form-data; boundary=${BOUNDARY}`],
    Buffer.from(`${text}--${BOUNDARY}--\r\n`),
  )
}

const FIELD = 'Content-Disposition: form-data; name='

/** In this order: some of them cost the original its worker. */
export const CASES: readonly DifferentialCase[] = [
  // Routes
  report('path: /predictions/{model}', [], 'x'),
  { name: 'path: /predictions/{model}/', path: `${PREDICT}/`, body: 'x' },
  { name: 'path: query of /predictions/{model}', path: `${PREDICT}?q=1`, body: 'x' },
  { name: 'path: query of /{model}/predict', path: '/m/predict?q=1&q=2&e=', body: 'x' },
  { name: 'path: query of /models/{model}/invoke', path: '/models/m/invoke?q=a%20b+c', body: 'x' },
  { name: 'path: /invocations with model_name', path: '/invocations?model_name=m&q=1', body: 'x' },
  {
    name: 'path: /invocations, unknown model_name',
    path: '/invocations?model_name=none',
    body: 'x',
  },
  { name: 'path: percent-encoded model', path: '/predictions/%6D', body: 'x' },
  { name: 'path: unknown model', path: '/predictions/none', body: 'x' },
  { name: 'path: model with odd name', path: '/predictions/%3Cscript%3E', body: 'x' },
  { name: 'path: /predictions', path: '/predictions', body: 'x' },
  { name: 'path: unknown', path: '/nothing/here', body: 'x' },
  { name: 'path: /ping', method: 'GET', path: '/ping' },
  { name: 'path: /ping/', method: 'GET', path: '/ping/' },
  // Methods
  { name: 'method: GET', method: 'GET', path: PREDICT },
  { name: 'method: PUT', method: 'PUT', path: PREDICT, body: 'x' },
  { name: 'method: HEAD', method: 'HEAD', path: PREDICT },
  { name: 'method: DELETE', method: 'DELETE', path: PREDICT },
  { name: 'method: PATCH', method: 'PATCH', path: PREDICT, body: 'x' },
  // Bodies
  report('body: JSON object', JSON_TYPE, '{"a":[1,2.5,null,true,"\\u00e9"],"b":{}}'),
  report('body: JSON number', JSON_TYPE, ' 12 '),
  report('body: JSON with UTF-8', JSON_TYPE, '"grüße 中 😀"'),
  report('body: JSON with NaN', JSON_TYPE, '["NaN",-Infinity]'),
  report('body: JSON, name twice', JSON_TYPE, '{"a":1,"a":2}'),
  report('body: JSON with charset', ['Content-Type', 'application/json; charset=utf-8'], '{"a":1}'),
  report('body: JSON, type in capitals', ['Content-Type', 'Application/JSON'], '{"a":1}'),
  report('body: JSON of another type', ['Content-Type', 'application/vnd.x+json'], '{"a":1}'),
  report('body: JSON, header twice', [...JSON_TYPE, 'X-Twice', '1', 'X-Twice', '2'], '{"a":1}'),
  report('body: text', ['Content-Type', 'text/plain'], 'grüße'),
  report('body: CSV', ['Content-Type', 'text/csv; charset=utf-8'], '1,2\r\n3,4\r\n'),
  report('body: every byte', ['Content-Type', 'application/octet-stream'], ALL_BYTES),
  report('body: every byte, no type', [], ALL_BYTES),
  report('body: picture type', ['Content-Type', 'image/png'], ALL_BYTES),
  report('body: malformed type', ['Content-Type', ';;;'], 'x'),
  report('body: empty', ['Content-Type', 'application/octet-stream'], ''),
  { ...report('body: in chunks', JSON_TYPE, '[1,2,3]'), isChunked: true },
  { ...deed('length'), name: 'body: 1 MB', body: Buffer.alloc(1_000_000, 7) },
  // Forms
  form('fields', 'a=1&b=two'),
  form('field twice', 'a=1&a=2'),
  form('plus and escapes', 'a+b=c+d%2Be'),
  form('UTF-8', 'a=gr%C3%BC%C3%9Fe'),
  form('byte that is not valid UTF-8', 'a=%FF%00'),
  form('bad escape', 'a=%zz&b=1'),
  form('no value, no name', 'a&=b&&c='),
  form('empty', ''),
  report('form: type in capitals', ['Content-Type', 'Application/X-WWW-Form-Urlencoded'], 'a=1'),
  multipart('fields', [`${FIELD}"a"`, '1'], [`${FIELD}"b"`, 'grüße']),
  multipart('file', [
    `${FIELD}"f"; filename="x.bin"\r\nContent-Type: application/x-thing`,
    '\u0001\u0002',
  ]),
  multipart('file without type', [`${FIELD}"f"; filename="x.bin"`, 'bytes']),
  multipart('JSON file', [
    `${FIELD}"f"; filename="x.json"\r\nContent-Type: application/json`,
    '{"a":1}',
  ]),
  multipart('text file', [
    `${FIELD}"f"; filename="x.txt"\r\nContent-Type: text/plain; charset=utf-8`,
    'grüße',
  ]),
  multipart('field with type', [`${FIELD}"a"\r\nContent-Type: application/json`, '{"a":1}']),
  multipart('name twice', [`${FIELD}"a"`, '1'], [`${FIELD}"a"`, '2']),
  multipart('empty file', [`${FIELD}"f"; filename="x.bin"`, '']),
  multipart('empty file name', [`${FIELD}"f"; filename=""\r\nContent-Type: text/plain`, 'x']),
  multipart('no parts'),
  report('multipart: no boundary', ['Content-Type', 'multipart/form-data'], 'x'),
  report(
    'multipart: mixed',
    ['Content-Type', `multipart/mixed; boundary=${BOUNDARY}`],
    `--${BOUNDARY}--`,
  ),
  report(
    'multipart: cut off',
    ['Content-Type', `multipart/form-data; boundary=${BOUNDARY}`],
    `--${BOUNDARY}\r\n${FIELD}"a"\r\n\r\nhalf`,
  ),
  // Headers
  {
    name: 'headers: spelling and order',
    path: PREDICT,
    headers: ['x-do', 'headers:X-Mixed,x-mixed,x-two', 'X-Mixed', 'a', 'x-two', '1', 'x-two', '2'],
    body: 'x',
  },
  {
    name: 'headers: Latin-1',
    path: PREDICT,
    headers: ['x-do', 'headers:x-latin', 'x-latin', 'caf\u00e9'],
    body: 'x',
  },
  {
    name: 'headers: id of the client',
    path: PREDICT,
    headers: ['x-request-id', 'mine'],
    body: 'x',
  },
  // Answers
  ...['text:!', 'bytes', 'empty', 'null', 'number', 'numbers', 'large:100000'].map((wish) =>
    deed(wish),
  ),
  ...['type:application/json', 'type:text/html; charset=utf-8'].map((wish) => deed(wish)),
  ...[
    'status:201',
    'status:204',
    'status:304',
    'status:404',
    'status:418,Short',
    'status:500',
    'status:599',
    'status:999',
  ].map((wish) => deed(wish)),
  ...[
    'header:x-mine=yes',
    'header:cache-control=max-age=60',
    'header:content-length=1',
    'header:access-control-allow-origin=*',
    'header:x-request-id=its',
  ].map((wish) => deed(wish)),
  ...[
    'raise:<no> & "why"',
    'memory',
    'prediction:422,<wrong>',
    'prediction:200,odd',
    'mapping',
    'surplus',
    'unserializable',
  ].map((wish) => deed(wish)),
  deed('context'),
  // Batches
  { ...deed('batch', 'b'), name: 'batch: four at once', copies: 4 },
  { ...deed('batch', 'b'), name: 'batch: alone' },
  { ...deed('raise:all', 'b'), name: 'batch: handler fails for all', copies: 4 },
  // Management
  { name: 'models: list', to: 'management', method: 'GET', path: '/models' },
  { name: 'models: list, limit', to: 'management', method: 'GET', path: '/models?limit=1' },
  {
    name: 'models: list, last page exactly full',
    to: 'management',
    method: 'GET',
    path: '/models?limit=1&next_page_token=1',
  },
  {
    name: 'models: describe',
    to: 'management',
    method: 'GET',
    path: '/models/m',
    comparesFields: true,
  },
  { name: 'models: describe unknown', to: 'management', method: 'GET', path: '/models/none' },
  { name: 'models: register without url', to: 'management', path: '/models' },
  { name: 'models: register again', to: 'management', path: '/models?url=m.mar' },
  { name: 'models: register missing file', to: 'management', path: '/models?url=none.mar' },
  { name: 'models: register outside the store', to: 'management', path: '/models?url=../m.mar' },
  {
    name: 'models: register, unknown runtime',
    to: 'management',
    path: '/models?url=m.mar&model_name=r&runtime=cobol',
  },
  {
    name: 'models: scale up',
    to: 'management',
    method: 'PUT',
    path: '/models/m?min_worker=2&synchronous=true',
  },
  {
    name: 'models: scale down',
    to: 'management',
    method: 'PUT',
    path: '/models/m?min_worker=1&max_worker=1&synchronous=true',
  },
  {
    name: 'models: scale, asynchronous',
    to: 'management',
    method: 'PUT',
    path: '/models/m?min_worker=1',
  },
  {
    name: 'models: scale, max below min',
    to: 'management',
    method: 'PUT',
    path: '/models/m?min_worker=2&max_worker=1',
  },
  {
    name: 'models: scale unknown',
    to: 'management',
    method: 'PUT',
    path: '/models/none?min_worker=1',
  },
  { name: 'models: unregister unknown', to: 'management', method: 'DELETE', path: '/models/none' },
  { name: 'models: other method', to: 'management', method: 'PATCH', path: '/models/m' },
  {
    name: 'models: register without workers',
    to: 'management',
    path: '/models?url=m.mar&model_name=idle&initial_workers=0',
  },
  { name: 'models: predict without workers', path: '/predictions/idle', body: 'x' },
  { name: 'models: unregister', to: 'management', method: 'DELETE', path: '/models/idle' },
  // What kills the original's worker: each has a model of its own
  dangerous('JSON cut off', JSON_TYPE, '{"a":'),
  dangerous('JSON empty', JSON_TYPE, ''),
  dangerous('text that is not valid UTF-8', ['Content-Type', 'text/plain'], Buffer.from([0xe9])),
  dangerous('handler ends its process', ['x-do', 'exit:3'], 'x'),
]

function dangerous(
  name: string,
  headers: readonly string[],
  body: string | Buffer,
): DifferentialCase {
  const model = name.replaceAll(' ', '-')
  return { name: `dangerous: ${name}`, path: `/predictions/${model}`, headers, body, model }
}
