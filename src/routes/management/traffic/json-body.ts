import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../../errors.ts'
import { parseRequestJson } from '../../../request-json.ts'
import { plainBody } from '../../http/content-encoding.ts'

const MAX_BYTES = 64 * 1024

/** Returns the JSON of a management request with a small body. @throws ServerError 400, 413. */
export async function jsonBody(request: FastifyRequest): Promise<unknown> {
  const body = await plainBody(request, MAX_BYTES)
  if (body.length > 0 && isUtf8(body)) return parseRequestJson(body.toString(), 'The body')
  throw new ServerError('BadRequestException', 'The body must be a JSON object.')
}
