import { ServerError } from '../../../../errors.ts'
import type { WireParameter, WireRequest } from '../../../wire/messages.ts'
import { quote } from '../tensors/error-text.ts'
import { formatOfBytes, formatOfMediaType } from './format.ts'

/** Text that says which images are decoded, and how to send them. */
export const SUPPORTED =
  'send JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP as the body, as a file in a form, or in base64 as {"b64": "…"}'

/**
 * Returns the images of a request in order: the body, or parts of a form with any names. The list
 * is empty when the request has no image, so that another codec decodes it. Text and query values
 * beside images are ignored.
 * @throws ServerError 415 when a format is not decoded; 400 when data that is declared as an image
 * is not one, or when the request has other data beside images.
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
  const found = value.length === 0 ? 'is empty' : 'does not begin like an image'
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
