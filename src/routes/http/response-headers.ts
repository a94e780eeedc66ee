/** Headers of every answer, of whatever kind. */

/** What a model answers is no web page, whatever a browser makes of its bytes. */
export const SECURITY_HEADERS = { 'x-content-type-options': 'nosniff' } as const

const COMMON = {
  ...SECURITY_HEADERS,
  pragma: 'no-cache',
  'cache-control': 'no-cache, no-store, must-revalidate, private',
  expires: 'Thu, 01 Jan 1970 00:00:00 UTC',
} as const
const COMMON_PAIRS = Object.entries(COMMON)
const COMMON_LIST: readonly string[] = COMMON_PAIRS.flat()

/** For Fastify: names with their values. */
export function answerHeaders(requestId: string): [name: string, value: string][] {
  return [['x-request-id', requestId], ...COMMON_PAIRS]
}

/** For Node's `writeHead`: names, each before its value, in a list to which others may be added. */
export function answerHeaderList(requestId: string): string[] {
  return ['x-request-id', requestId, ...COMMON_LIST]
}
