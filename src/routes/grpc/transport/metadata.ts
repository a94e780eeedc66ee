/** Reads the metadata of a call, which HTTP/2 carries as headers. */
import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http2'
import { ServerError } from '../../../errors.ts'

/** A client's request id is kept if it has 1 to 128 printable characters; else it is replaced. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/
const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}
/** Node's timers have no longer time. A call with a later deadline has none. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** The id of a call: that of the client, or a new one. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}

/**
 * Milliseconds until the deadline of a call; `undefined` if it has none.
 * @throws ServerError 400 for a header that is not valid.
 */
export function timeoutOf(headers: IncomingHttpHeaders): number | undefined {
  const header = headers['grpc-timeout']
  if (header === undefined) return undefined
  const [, digits, unit = ''] = TIMEOUT.exec(String(header)) ?? []
  if (digits === undefined) {
    const shown = JSON.stringify(String(header).slice(0, 100))
    const text = `The header grpc-timeout is ${shown}; expected for example "500m" or "2S".`
    throw new ServerError('BadRequestException', text)
  }
  const ms = Number(digits) * (UNIT_MS[unit] ?? 1)
  return ms > MAX_TIMER_MS ? undefined : ms
}
