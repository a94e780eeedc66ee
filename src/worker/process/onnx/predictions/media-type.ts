/** What a media type means to the tensor forms. */
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'

const OCTET_TYPES: ReadonlySet<string> = new Set([
  'application/octet-stream',
  'application/x-octet-stream',
  'binary/octet-stream',
])
/** Types that `.npy` files are sent with. */
const NUMPY_TYPES: ReadonlySet<string> = new Set([
  'application/x-npy',
  'application/npy',
  'application/x-numpy',
  'application/x-numpy-array',
  'application/vnd.numpy',
])
const SPACES: ReadonlySet<number> = new Set([0x20, 0x0a, 0x0d, 0x09])
const OPENINGS: ReadonlySet<number | undefined> = new Set(Buffer.from('{['))
const CLOSINGS: ReadonlySet<number | undefined> = new Set(Buffer.from('}]'))

export type ContentKind = 'json' | 'octets' | 'numpy' | 'text' | 'none' | 'other'

/** Lenient towards misspelt JSON types: what claims to be JSON is read as JSON, which checks it. */
export function contentKind(contentType: string): ContentKind {
  if (contentType === '') return 'none'
  // The two that nearly every request has, spelt as nearly everybody does.
  if (contentType === 'application/octet-stream') return 'octets'
  if (contentType === 'application/json') return 'json'
  const type = contentType.toLowerCase().trim()
  if (type.startsWith('application/json') || /^[^\s;,]+\+json\b/.test(type)) return 'json'
  const [plain = ''] = type.split(';', 1).map((text) => text.trim())
  if (OCTET_TYPES.has(plain)) return 'octets'
  if (NUMPY_TYPES.has(plain)) return 'numpy'
  return type.startsWith('text/plain') ? 'text' : 'other'
}

/** Begins and ends like a JSON array or object, white space aside. */
export function looksLikeJson(bytes: Buffer): boolean {
  let first = 0
  while (SPACES.has(bytes[first] ?? 0)) first++
  let last = bytes.length - 1
  while (last > first && SPACES.has(bytes[last] ?? 0)) last--
  return OPENINGS.has(bytes[first]) && CLOSINGS.has(bytes[last])
}

/**
 * @returns the 415 for a body or, where `part` names one, a part of a form, of a type that holds no
 * tensor.
 */
export function unsupportedType(contentType: string, part?: string): ServerError {
  const type = quote(contentType)
  const text = contentType.toLowerCase().startsWith('image/')
    ? `This model takes no pictures (${type.replaceAll('"', '')}): set "handler": "image" in its model.json, or send the tensor as JSON or application/octet-stream.`
    : part === undefined
      ? `Content type ${type} is not supported; send application/json, application/octet-stream or multipart/form-data.`
      : `The part ${quote(part)} of the form has the type ${type}, which holds no tensor; send JSON, raw bytes (application/octet-stream) or a NumPy array file (.npy) in it.`
  return new ServerError('UnsupportedMediaTypeException', text)
}
