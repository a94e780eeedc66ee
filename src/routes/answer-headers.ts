/** Headers of every answer, of whatever kind. */

const UNCACHED = {
  pragma: 'no-cache',
  'cache-control': 'no-cache, no-store, must-revalidate, private',
  expires: 'Thu, 01 Jan 1970 00:00:00 UTC',
} as const
const UNCACHED_PAIRS = Object.entries(UNCACHED)
const UNCACHED_LIST: readonly string[] = UNCACHED_PAIRS.flat()

/** For Fastify: names with their values. */
export function answerHeaders(requestId: string): [name: string, value: string][] {
  return [['x-request-id', requestId], ...UNCACHED_PAIRS]
}

/** For Node's `writeHead`: names, each before its value, in a list to which others may be added. */
export function answerHeaderList(requestId: string): string[] {
  return ['x-request-id', requestId, ...UNCACHED_LIST]
}
