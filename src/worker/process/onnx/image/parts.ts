import { ServerError } from '../../../../errors.ts'
import type { WireParameter, WireRequest } from '../../../wire/messages.ts'
import { quote } from '../tensors/error-text.ts'
import { formatOfBytes, formatOfMediaType } from './format.ts'

/** Which images are decoded, and how to send them. */
export const SUPPORTED =
  'send JPEG, PNG, WebP, GIF, TIFF or AVIF, as the body or as a file of a form'

/**
 * The pictures of a request in their order: the body, or parts of the form by any name. Empty when
 * there are none: the request is for another codec. Text and query values beside them are ignored.
 * @throws ServerError 415 for a format that is not decoded; 400 for what is declared as a picture and
 * is none, and for other data beside pictures.
 */
export function picturesOf(request: WireRequest): readonly Buffer[] {
  const pictures: Buffer[] = []
  let stranger: string | undefined
  for (const parameter of request.parameters) {
    if (isPicture(parameter)) pictures.push(parameter.value)
    else if (!isText(parameter)) stranger ??= parameter.name
  }
  if (pictures.length > 0 && stranger !== undefined) {
    throw new ServerError(
      'InvalidInputException',
      `${quote(stranger)} is not an image, but other parts of the request are.`,
    )
  }
  return pictures
}

function isPicture({ name, contentType, value }: WireParameter): boolean {
  const format = formatOfBytes(value)
  if (format === 'other') {
    throw unsupported(`${quote(name)} is an image in a format that is not supported`)
  }
  if (format !== undefined) return true
  const mediaType = contentType.toLowerCase()
  if (!mediaType.startsWith('image/')) return false
  if (formatOfMediaType(mediaType) === undefined)
    throw unsupported(`${quote(mediaType)} is not supported`)
  const found = value.length === 0 ? 'is empty' : 'does not start like an image'
  throw new ServerError(
    'InvalidInputException',
    `${quote(name)} is declared as ${quote(mediaType)} but ${found}; ${SUPPORTED}.`,
  )
}

function isText({ contentType }: WireParameter): boolean {
  return contentType === '' || contentType.toLowerCase() === 'text/plain'
}

function unsupported(problem: string): ServerError {
  return new ServerError('UnsupportedMediaTypeException', `${problem}; ${SUPPORTED}.`)
}
