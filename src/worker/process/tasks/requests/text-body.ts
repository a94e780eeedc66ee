/** Reads bodies of requests with texts: JSON, plain text, or fields of a form. Writes responses. */
import { TOKENS_HEADER } from '../../../../contract/internal-headers.ts'
import { ServerError, messageOf } from '../../../../errors.ts'
import { isDeeperThan } from '../../../../request-json.ts'
import type {
  WireHeader,
  WireParameter,
  WirePrediction,
  WireRequest,
} from '../../../wire/messages.ts'
import { BODY } from '../../onnx/codec.ts'
import type { CodecLimits } from '../../onnx/codec.ts'
import { JSON_TYPE, prediction } from '../../onnx/prediction.ts'
import { contentKind } from '../../onnx/predictions/media-type.ts'
import type { Fields } from '../json-fields.ts'
import { badRequest } from './text-request.ts'
import type { Work } from './text-request.ts'

/** Fields of a form that are always texts; all others are read as JSON if they are JSON. */
const TEXTS: readonly string[] = [
  'inputs',
  'text',
  'text_pair',
  'question',
  'context',
  'query',
  'prompt',
  'source_sentence',
]

/** The value of a body, and the parameters of the query. */
export interface TextBody {
  readonly value: unknown
  readonly query: Fields
}

/**
 * Returns `undefined` for a body that is no text.
 * @throws ServerError 400 or 413.
 */
export function readBody({ parameters }: WireRequest, limits: CodecLimits): TextBody | undefined {
  const body = parameters.find(({ name }) => name === BODY)
  const others = parameters.filter((parameter) => parameter !== body)
  const isEmpty = body === undefined || (body.value.length === 0 && body.contentType === '')
  if (isEmpty) {
    if (others.length === 0) throw badRequest('The request has no body; send a text or JSON.')
    return { value: fieldsOfForm(others), query: {} }
  }
  const query = fieldsOfForm(others)
  const kind = contentKind(body.contentType)
  if (kind === 'text') return { value: textOfBytes(body.value), query }
  if (kind !== 'json' && kind !== 'none') return undefined
  return { value: parse(body.value, limits), query }
}

function fieldsOfForm(parameters: readonly WireParameter[]): Fields {
  return Object.fromEntries(
    parameters.map(({ name, value }): [string, unknown] => {
      const text = textOfBytes(value)
      return [name, TEXTS.includes(name) ? text : jsonOrText(text)]
    }),
  )
}

function jsonOrText(text: string): unknown {
  try {
    return isDeeperThan(2, text) ? text : JSON.parse(text)
  } catch {
    return text
  }
}

function parse(bytes: Buffer, { maxJsonBytes, maxJsonDepth }: CodecLimits): unknown {
  if (bytes.length > maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON has ${bytes.length} bytes, more than the limit of ${maxJsonBytes}.`,
    )
  }
  const text = textOfBytes(bytes)
  if (isDeeperThan(maxJsonDepth, text)) throw badRequest('The JSON is nested too deeply.')
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badRequest(`The body is not valid JSON: ${messageOf(error, 200)}.`)
  }
}

function textOfBytes(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw badRequest('The text is not valid UTF-8.')
  }
}

/** @throws ServerError 507 for a response that is too large. */
export function writeBody(answer: unknown, { maxResponseBytes }: CodecLimits): Buffer {
  const body = Buffer.from(`${JSON.stringify(answer)}\n`)
  if (body.length <= maxResponseBytes) return body
  throw new ServerError(
    'InsufficientMemoryException',
    `The response would be larger than the limit of ${maxResponseBytes} bytes. Send fewer texts.`,
  )
}

/** The response, with a header that says how many tokens the model has run for it. */
export function textPrediction(id: string, body: Buffer, work: Work): WirePrediction {
  return prediction(id, 200, JSON_TYPE, body, tokensHeader(work))
}

/** A header for the front-end, which counts tokens. */
export function tokensHeader({ tokens, padding }: Work): readonly WireHeader[] {
  return tokens > 0 ? [[TOKENS_HEADER, `${tokens}+${padding}`]] : []
}
