/** A request to a model, as the page sends it and as the code on the page shows it. */

/** The body of a request. */
export type RequestBody =
  | { readonly kind: 'json'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string; readonly type: string }
  | { readonly kind: 'file'; readonly name: string; readonly type: string }

/** A `POST` to a model. */
export interface ModelRequest {
  /** The URL of the server: with a slash at its end, and the path prefix of a proxy. */
  readonly server: string
  readonly model: string
  /** Absent for the default version. */
  readonly version: string | undefined
  readonly body: RequestBody
  /** The response that the client wants; absent for JSON. */
  readonly accept?: string | undefined
  /** Whether the server needs a token. The token itself is never in the shown code. */
  readonly hasToken: boolean
}

/** The variable that holds the token in the shown code. */
export const TOKEN_VARIABLE = 'API_TOKEN'
/** A longer body is read from a file in the shown code: programs limit the length of arguments. */
export const MAX_SHOWN_BODY = 4096
/** Name of the file with a long body. */
export const BODY_FILE = 'request'

/** Path of the model below the server. */
export function requestPath({ model, version }: ModelRequest): string {
  const parts = version === undefined ? [model] : [model, version]
  return ['predictions', ...parts.map(encodeURIComponent)].join('/')
}

/** URL of the request. */
export function requestUrl(request: ModelRequest): string {
  return request.server + requestPath(request)
}

/** Headers of the request without those of the token. */
export function requestHeaders({ body, accept }: ModelRequest): [name: string, value: string][] {
  const type = body.kind === 'json' ? 'application/json' : body.type
  return [
    ...(type === '' ? [] : [['Content-Type', type] as [string, string]]),
    ...(accept === undefined ? [] : [['Accept', accept] as [string, string]]),
  ]
}

/** The body as the shown code sends it: text that fits there, or the name of a file. */
export type ShownBody =
  | { readonly kind: 'json' | 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly name: string; readonly isSaved: boolean }

/** `isSaved` says that the user has to save the body first. */
export function shownBody({ body }: ModelRequest): ShownBody {
  if (body.kind === 'file') return { kind: 'file', name: body.name, isSaved: false }
  if (body.text.length <= MAX_SHOWN_BODY) return { kind: body.kind, text: body.text }
  return {
    kind: 'file',
    name: BODY_FILE + (body.kind === 'json' ? '.json' : '.txt'),
    isSaved: true,
  }
}

const TYPES: Readonly<Record<string, string>> = {
  avif: 'image/avif',
  bmp: 'image/bmp',
  gif: 'image/gif',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  png: 'image/png',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  webp: 'image/webp',
  csv: 'text/csv',
  json: 'application/json',
  jsonl: 'application/jsonl',
  ndjson: 'application/x-ndjson',
  npy: 'application/x-npy',
  npz: 'application/x-npz',
  parquet: 'application/vnd.apache.parquet',
  txt: 'text/plain',
}

/** Content type of a file by its name. The type that a browser knows depends on the system. */
export function fileType(name: string): string {
  const [, extension = ''] = /\.(\w+)$/.exec(name.toLowerCase()) ?? []
  return TYPES[extension] ?? 'application/octet-stream'
}
