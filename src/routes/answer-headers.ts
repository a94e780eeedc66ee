/** Headers of every answer, of whatever kind. */

const UNCACHED = {
  pragma: 'no-cache',
  'cache-control': 'no-cache, no-store, must-revalidate, private',
  expires: 'Thu, 01 Jan 1970 00:00:00 UTC',
} as const
const UNCACHED_LIST: readonly string[] = Object.entries(UNCACHED).flat()

/** For Fastify: names and values. */
export function answerHeaders(requestId: string): Record<string, string> {
  return { 'x-request-id': requestId, ...UNCACHED }
}

/** For Node's `writeHead`: names, each before its value, in a list to which others may be added. */
export function answerHeaderList(requestId: string): string[] {
  return ['x-request-id', requestId, ...UNCACHED_LIST]
}
