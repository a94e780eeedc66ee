/** Reads http and https URLs strictly. */

/** White space, control characters and backslashes. URL parsers remove or replace them. */
const FORBIDDEN = /[\s\p{Cc}\\]/u
const HTTP_URL = /^https?:\/\/[^/]/i

/** Whether a text is an absolute URL with the scheme http or https. */
export function isHttpUrl(text: string): boolean {
  return !FORBIDDEN.test(text) && HTTP_URL.test(text) && URL.canParse(text)
}

/**
 * Returns the origin in a setting, `https://host[:port]`, in its normal form; `undefined` if the
 * text is anything else.
 */
export function parseOrigin(text: string): string | undefined {
  if (!isHttpUrl(text)) return undefined
  const { origin, href } = new URL(text)
  return href === `${origin}/` ? origin : undefined
}
