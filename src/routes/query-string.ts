import { parse } from 'node:querystring'
import type { ParsedUrlQuery } from 'node:querystring'

/** Parameters that the original reads in any case: Python's clients write `True`. */
const FLAGS = ['synchronous', 'preload_model']

/** A query string as names with their values; flags in lower case, as the schemas have them. */
export function parseQueryString(text: string): ParsedUrlQuery {
  const query = parse(text)
  for (const name of FLAGS) {
    const value = query[name]
    if (typeof value === 'string') query[name] = value.toLowerCase()
  }
  return query
}
