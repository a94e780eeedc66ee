/** What an HTTP request says of its own turn: headers in every dialect, parameters in the Open Inference Protocol. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { Dialect } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import { MAX_PRIORITY_LEVELS } from '../../model-folder/settings.ts'
import type { Parameter } from '../../models/scheduling/job.ts'
import { NO_URGENCY } from '../../models/scheduling/urgency.ts'
import type { Urgency } from '../../models/scheduling/urgency.ts'
import { MAX_TIMEOUT_MS } from '../../openapi/urgency-parameters.ts'
import { MAX_JSON_DEPTH, isDeeperThan } from '../../request-json.ts'

/** The JSON of a request is searched for parameters up to this size: nobody else should wait while it is read. */
const MAX_JSON_BYTES = 64 * 1024
const PRIORITY_WORD = Buffer.from('"priority"')
const TIMEOUT_WORD = Buffer.from('"timeout"')

/**
 * Priority and deadline of a request. A header counts more than a parameter, so that a gateway has the last word.
 * @throws ServerError `BadRequestException` for anything but whole numbers.
 */
export function urgencyOf(
  { headers }: FastifyRequest,
  parameters: readonly Parameter[],
  dialect: Dialect | undefined,
): Urgency {
  const inBody = dialect === 'v2' ? bodyUrgency(headers, parameters[0]?.value) : NO_URGENCY
  const priority = headers['onnxd-priority']
  const timeout = headers['onnxd-timeout-ms']
  if (priority === undefined && timeout === undefined) return inBody
  return {
    priority: numberIn(priority, 'Onnxd-Priority', MAX_PRIORITY_LEVELS) ?? inBody.priority,
    timeoutMs: numberIn(timeout, 'Onnxd-Timeout-Ms', MAX_TIMEOUT_MS) ?? inBody.timeoutMs,
  }
}

/** The request parameters `priority` and `timeout`, microseconds. Most bodies have neither word and are not parsed. */
function bodyUrgency(headers: IncomingHttpHeaders, body: Buffer | undefined): Urgency {
  const json = body && jsonOf(headers, body)
  if (json === undefined || !(json.includes(TIMEOUT_WORD) || json.includes(PRIORITY_WORD)))
    return NO_URGENCY
  const { priority, timeout } = requestParametersIn(json)
  const timeoutUs = wholeNumber(timeout, 'The parameter timeout')
  return {
    priority: wholeNumber(priority, 'The parameter priority'),
    timeoutMs: timeoutUs === undefined ? undefined : timeoutUs / 1000,
  }
}

/** The JSON of a body, where it is small and can be read here. A length that is none is left to the worker to refuse. */
function jsonOf(headers: IncomingHttpHeaders, body: Buffer): Buffer | undefined {
  if (headers['content-encoding'] !== undefined) return undefined
  const length = headers['inference-header-content-length']
  const bytes = length === undefined ? body.length : Number(length)
  if (!(bytes <= MAX_JSON_BYTES)) return undefined
  return bytes < body.length ? body.subarray(0, bytes) : body
}

/** What is no JSON has no parameters; the worker refuses it. */
function requestParametersIn(json: Buffer): Readonly<Record<string, unknown>> {
  try {
    const text = json.toString()
    // Deeper values than the worker takes would overflow the stack in an error text.
    if (isDeeperThan(MAX_JSON_DEPTH, text)) return {}
    const request: unknown = JSON.parse(text)
    if (typeof request !== 'object' || request === null || !('parameters' in request)) return {}
    const { parameters } = request
    return typeof parameters === 'object' && parameters !== null ? { ...parameters } : {}
  } catch {
    return {}
  }
}

function numberIn(
  header: string | string[] | undefined,
  name: string,
  max: number,
): number | undefined {
  if (header === undefined) return undefined
  const number = wholeNumber(/^\d{1,15}$/.test(String(header)) ? Number(header) : header, name)
  if (number === undefined || number <= max) return number
  throw new ServerError('BadRequestException', `${name} must be at most ${max}, not ${number}.`)
}

function wholeNumber(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  const got = JSON.stringify(value).slice(0, 100)
  throw new ServerError('BadRequestException', `${name} must be a whole number, not ${got}.`)
}
