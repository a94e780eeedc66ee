/**
 * Reads the header of NumPy's file format, which contains the type and the shape of the elements.
 */
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'

/** NumPy's own limit. A longer header can only be meant to cost time. */
const MAX_HEADER_BYTES = 10_000
const MAX_RANK = 64
const VERSIONS: ReadonlySet<number> = new Set([1, 2, 3])

/** `b`: booleans, `i` and `u`: integers, `f`: floats, `S`: bytes, `U`: text in UTF-32. */
export type NpyKind = 'b' | 'i' | 'u' | 'f' | 'S' | 'U'

export interface NpyHeader {
  readonly kind: NpyKind
  /** Bytes of one element. */
  readonly size: number
  readonly isBigEndian: boolean
  readonly isFortranOrder: boolean
  readonly shape: readonly number[]
  /** Offset of the first element. */
  readonly dataAt: number
  /** The type in NumPy's notation, such as `<f4`. */
  readonly descr: string
}

const SIZES: Readonly<Record<Exclude<NpyKind, 'S' | 'U'>, readonly number[]>> = {
  b: [1],
  i: [1, 2, 4, 8],
  u: [1, 2, 4, 8],
  f: [2, 4, 8],
}

/**
 * Reads the header of a file that begins with NumPy's magic bytes. The header is a Python literal.
 * Only the form that NumPy writes is accepted, and nothing is evaluated.
 * @throws ServerError 400, or 415 for types that no tensor has
 */
export function readNpyHeader(bytes: Buffer): NpyHeader {
  const version = bytes[6] ?? 0
  if (!VERSIONS.has(version)) throw damaged(`version ${version} of the format is not known`)
  const start = version === 1 ? 10 : 12
  if (bytes.length < start) throw damaged('it is truncated in the header')
  const length = version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8)
  if (length > MAX_HEADER_BYTES) throw damaged(`its header has ${length} bytes`)
  const dataAt = start + length
  if (bytes.length < dataAt) throw damaged('it is truncated in the header')
  const text = bytes.toString(version === 3 ? 'utf8' : 'latin1', start, dataAt)
  const descr = /'descr': *'([^']{1,32})'/.exec(text)?.[1]
  if (descr === undefined) throw unsupported('with a structured dtype')
  const order = /'fortran_order': *(True|False)\b/.exec(text)?.[1]
  const sizes = /'shape': *\(([^()]*)\)/.exec(text)?.[1]
  if (order === undefined || sizes === undefined) throw damaged('its header cannot be read')
  return {
    ...readType(descr),
    isFortranOrder: order === 'True',
    shape: readShape(sizes),
    dataAt,
    descr,
  }
}

function readType(descr: string): Pick<NpyHeader, 'kind' | 'size' | 'isBigEndian'> {
  const [, order = '', letter = '', digits = ''] =
    /^([<>|=]?)([a-zA-Z?])(\d{0,9})$/.exec(descr) ?? []
  const kind = kindOf(letter)
  const isText = kind === 'S' || kind === 'U'
  const size = letter === '?' ? 1 : Number(digits) * (kind === 'U' ? 4 : 1)
  if (kind === undefined || (isText ? size === 0 : !SIZES[kind].includes(size))) {
    throw unsupported(`with the dtype ${quote(descr)}`)
  }
  return { kind, size, isBigEndian: order === '>' }
}

function kindOf(letter: string): NpyKind | undefined {
  switch (letter) {
    case 'b':
    case '?':
      return 'b'
    case 'a':
      return 'S'
    case 'i':
    case 'u':
    case 'f':
    case 'S':
    case 'U':
      return letter
    default:
      return undefined
  }
}

/** Parses `3, 4`, `3,` or an empty shape. */
function readShape(sizes: string): readonly number[] {
  const parts = sizes.split(',').map((part) => part.trim())
  if (parts.at(-1) === '') parts.pop()
  if (parts.length > MAX_RANK || !parts.every((part) => /^\d{1,15}L?$/.test(part))) {
    throw damaged('its shape cannot be read')
  }
  return parts.map((part) => Number.parseInt(part, 10))
}

/** @returns the error 400 for a file that NumPy would not write. */
export function damaged(problem: string): ServerError {
  return new ServerError(
    'InvalidInputException',
    `The NumPy array file cannot be read: ${problem}.`,
  )
}

function unsupported(what: string): ServerError {
  return new ServerError(
    'UnsupportedMediaTypeException',
    `A NumPy array ${what} is not supported; use numbers, booleans or strings (dtype S or U).`,
  )
}
