/** Finds images in JSON: files in base64, as text or as data URLs. */
import { ServerError } from '../../../../errors.ts'
import type { CodecLimits } from '../codec.ts'
import { openJson } from '../json/open.ts'
import { quote } from '../tensors/error-text.ts'
import { formatOfBytes } from './format.ts'
import { SUPPORTED } from './parts.ts'

/** Members that hold an image or a list of them. Others, such as an id, are skipped. */
const IMAGE_MEMBERS: ReadonlySet<string> = new Set([
  'b64',
  'image',
  'images',
  'image_bytes',
  'data',
  'body',
  'input',
  'inputs',
  'instances',
])
/** Names of numbers in tensors. */
const NUMBER_WORDS: ReadonlySet<string> = new Set(['NaN', 'Infinity', '-Infinity'])
/** `{"instances": [{"image": {"b64": "…"}}]}` has five levels. */
const MAX_LEVELS = 8
const MAX_IMAGES = 10_000
const DATA_URL = /^data:[^,]{0,200};base64,/i
/** Both alphabets of base64, with line breaks. */
const NO_BASE64 = /[^\w+/=\s-]/

/** The images of a JSON body. */
export interface JsonImages {
  readonly images: readonly Buffer[]
  /** Whether the client sent a list, whose response is a list too. */
  readonly isList: boolean
}

/**
 * Reads images from a JSON body. Returns `undefined` if it has none, for example because it has
 * tensors.
 * @param inputName Name of the model's input, which may hold the image too.
 * @throws ServerError 400 when a text is not an image in base64, 415 for an image in another
 * format.
 */
export function imagesOfJson(
  body: Buffer,
  limits: CodecLimits,
  inputName: string,
): JsonImages | undefined {
  const reader = openJson(body, limits)
  const images: Buffer[] = []
  let isList = false
  /** Returns false for anything that is not an image. */
  const readValue = (level: number): boolean => {
    if (level > MAX_LEVELS) return false
    if (reader.isString()) {
      const text = reader.readString()
      if (NUMBER_WORDS.has(text)) return false
      if (images.length === MAX_IMAGES) throw invalid(`The request has over ${MAX_IMAGES} images.`)
      images.push(imageOfText(text, images.length))
      return true
    }
    return reader.isObject() ? readMembers(level) : reader.isArray() && readElements(level)
  }
  const readElements = (level: number): boolean => {
    isList = true
    for (let more = reader.openArray(); more; more = reader.nextElement()) {
      if (!readValue(level + 1)) return false
    }
    return true
  }
  const readMembers = (level: number): boolean => {
    const before = images.length
    for (let more = reader.openObject(); more; more = reader.nextMember()) {
      const name = reader.readKey()
      // Only a tensor of the Open Inference Protocol has it.
      if (name === 'datatype') return false
      if (!IMAGE_MEMBERS.has(name) && name !== inputName) reader.skipValue()
      else if (!readValue(level + 1)) return false
    }
    return images.length > before
  }
  if (!readValue(0) || images.length === 0) return undefined
  reader.end()
  return { images, isList }
}

/**
 * Decodes a base64 text or data URL.
 * @param index Position of the image in the request, for error texts.
 * @throws ServerError 400 or 415, see {@link imagesOfJson}.
 */
export function imageOfText(text: string, index: number): Buffer {
  const name = `Image ${index + 1} of the request`
  if (/^https?:/i.test(text)) {
    throw invalid(
      `${name} is a URL, ${quote(text)}. URLs are not fetched; send the file in base64.`,
    )
  }
  const base64 = text.replace(DATA_URL, '')
  if (base64 === '' || NO_BASE64.test(base64)) {
    throw invalid(`${name} is not base64: ${quote(text)}. Send the bytes of the file in base64.`)
  }
  return checkImage(Buffer.from(base64, 'base64'), index)
}

/**
 * Checks that the bytes begin like an image.
 * @throws ServerError 400 or 415, see {@link imagesOfJson}.
 */
export function checkImage(bytes: Buffer, index: number): Buffer {
  const format = formatOfBytes(bytes)
  if (format !== undefined && format !== 'other') return bytes
  const name = `Image ${index + 1} of the request`
  if (format === undefined) throw invalid(`${name} is not an image file; ${SUPPORTED}.`)
  const text = `${name} has a format that is not supported; ${SUPPORTED}.`
  throw new ServerError('UnsupportedMediaTypeException', text)
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
