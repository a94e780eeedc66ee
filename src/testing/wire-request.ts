import { randomUUID } from 'node:crypto'
import type { TestRequest } from '../../types/testing.d.ts'
import { DIALECT_HEADER } from '../contract/internal-headers.ts'
import type { WireHeader, WireParameter, WireRequest } from '../worker/wire/messages.ts'

const BODY = 'body'
const CONTENT_TYPE = 'content-type'

/** The request as the server would send it to a worker. */
export function wireRequest(request: TestRequest): WireRequest {
  const { body, headers = {}, fields = {}, protocol = 'predictions' } = request
  const own = Object.entries(headers)
  const named = own.find(([name]) => name.toLowerCase() === CONTENT_TYPE)?.[1]
  const { type, value } = encoded(body)
  const contentType = request.contentType ?? named ?? type
  const sent: WireHeader[] = own.filter(([name]) => name.toLowerCase() !== CONTENT_TYPE)
  if (contentType !== '') sent.push([CONTENT_TYPE, contentType])
  if (protocol !== 'predictions') sent.push([DIALECT_HEADER, protocol])
  const parameters: WireParameter[] = Object.entries(fields).map(([name, field]) => ({
    name,
    contentType: '',
    value: encoded(field).value,
  }))
  if (body !== undefined) parameters.push({ name: BODY, contentType, value })
  return { id: randomUUID(), headers: sent, parameters }
}

function encoded(value: unknown): { readonly type: string; readonly value: Buffer } {
  if (value === undefined) return { type: '', value: Buffer.alloc(0) }
  if (typeof value === 'string') return { type: 'text/plain', value: Buffer.from(value) }
  if (value instanceof Uint8Array) return { type: '', value: Buffer.from(value) }
  return { type: 'application/json', value: Buffer.from(JSON.stringify(value)) }
}
