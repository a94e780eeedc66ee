/**
 * Reads the priority and the timeout of an HTTP request: from headers in every REST dialect, from
 * the body in the Open Inference Protocol.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { Dialect } from '../../contract/internal-headers.ts'
import { ServerError } from '../../errors.ts'
import { MAX_PRIORITY_LEVELS } from '../../model-folder/version-settings.ts'
import { NO_OPTIONS } from '../../models/scheduling/predict-options.ts'
import type { PredictOptions } from '../../models/scheduling/predict-options.ts'
import type { Parameter } from '../../models/scheduling/queue/job.ts'
import { MAX_TIMEOUT_MS } from '../../openapi/priority-parameters.ts'
import { MAX_JSON_DEPTH, isDeeperThan } from '../../request-json.ts'

/**
 * A larger JSON body is not searched for parameters, because parsing it would block other requests.
 */
const MAX_JSON_BYTES = 64 * 1024
const PRIORITY_WORD = Buffer.from('"priority"')
const TIMEOUT_WORD = Buffer.from('"timeout"')

/**
 * Priority and timeout of a request. A header overrides the body, so that a gateway can set them.
 * @throws ServerError `BadRequestException` if a value is not an integer or is too large.
 */
export function predictOptionsOf(
  { headers }: Pick<FastifyRequest, 'headers'>,
  parameters: readonly Parameter[],
  dialect: Dialect | undefined,
): PredictOptions {
  const inBody = dialect === 'v2' ? optionsInBody(headers, parameters[0]?.value) : NO_OPTIONS
  const priority = headers['onnxd-priority']
  const timeout = headers['onnxd-timeout-ms']
  if (priority === undefined && timeout === undefined) return inBody
  return {
    priority: numberIn(priority, 'Onnxd-Priority', MAX_PRIORITY_LEVELS) ?? inBody.priority,
    timeoutMs: numberIn(timeout, 'Onnxd-Timeout-Ms', MAX_TIMEOUT_MS) ?? inBody.timeoutMs,
  }
}

/**
 * Reads the request parameters `priority` and `timeout` (microseconds) from a body. A body is
 * parsed only if it contains one of these words.
 */
function optionsInBody(headers: IncomingHttpHeaders, body: Buffer | undefined): PredictOptions {
  const json = body && jsonOf(headers, body)
  if (json === undefined || !(json.includes(TIMEOUT_WORD) || json.includes(PRIORITY_WORD)))
    return NO_OPTIONS
  const { priority, timeout } = requestParametersIn(json)
  const timeoutUs = wholeNumber(timeout, 'The parameter timeout')
  return {
    priority: wholeNumber(priority, 'The parameter priority'),
    timeoutMs: timeoutUs === undefined ? undefined : timeoutUs / 1000,
  }
}

/**
 * The JSON part of a body, if it is small and not compressed. The worker rejects an invalid length.
 */
function jsonOf(headers: IncomingHttpHeaders, body: Buffer): Buffer | undefined {
  if (headers['content-encoding'] !== undefined) return undefined
  const length = headers['inference-header-content-length']
  const bytes = length === undefined ? body.length : Number(length)
  if (!(bytes <= MAX_JSON_BYTES)) return undefined
  return bytes < body.length ? body.subarray(0, bytes) : body
}

/**
 * The member `parameters` of a request. Returns `{}` for invalid JSON, which the worker rejects.
 */
function requestParametersIn(json: Buffer): Readonly<Record<string, unknown>> {
  try {
    const text = json.toString()
    // Deeper JSON, which the worker rejects, could overflow the stack when an error text shows the
    // value.
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
  throw new ServerError('BadRequestException', `${name} must be an integer, not ${got}.`)
}
