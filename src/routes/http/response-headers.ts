/** Headers of all responses. */

/** Browsers must not render the output of a model as a web page. */
export const SECURITY_HEADERS = { 'x-content-type-options': 'nosniff' } as const

const COMMON = {
  ...SECURITY_HEADERS,
  pragma: 'no-cache',
  'cache-control': 'no-cache, no-store, must-revalidate, private',
  expires: 'Thu, 01 Jan 1970 00:00:00 UTC',
} as const
const COMMON_PAIRS = Object.entries(COMMON)
const COMMON_LIST: readonly string[] = COMMON_PAIRS.flat()

/** For Fastify: pairs of name and value. */
export function answerHeaders(requestId: string): [name: string, value: string][] {
  return [['x-request-id', requestId], ...COMMON_PAIRS]
}

/** For Node's `writeHead`: a flat list of names and values. The caller may add to it. */
export function answerHeaderList(requestId: string): string[] {
  return ['x-request-id', requestId, ...COMMON_LIST]
}
