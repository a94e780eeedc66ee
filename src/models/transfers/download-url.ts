/** Which URLs a model may be downloaded from, and how they are shown. */
import { ServerError } from '../../errors.ts'

/** White space, control characters and backslashes, which parsers of URLs take out or turn around. */
const FORBIDDEN = /[\s\p{Cc}\\]/u
const HTTP_URL = /^https?:\/\/[^/]/i
const MAX_SHOWN = 200

/**
 * Parses the URL of a model. Its origin (scheme, host and port) must be one of `allowedOrigins`.
 * @throws ServerError 400 when it is no plain http(s) URL, 403 when its origin is not allowed.
 */
export function parseModelUrl(text: string, allowedOrigins: readonly string[]): URL {
  if (FORBIDDEN.test(text) || !HTTP_URL.test(text) || !URL.canParse(text)) {
    throw new ServerError('BadRequestException', 'Invalid model url: it is no http or https URL.')
  }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') {
    throw new ServerError('BadRequestException', 'Invalid model url: it has a user or password.')
  }
  if (!allowedOrigins.some((origin) => parseOrigin(origin) === url.origin)) {
    throw new ServerError(
      'BadRequestException',
      `Models may not be downloaded from ${url.origin}; --allowed-origins lists where they may come from.`,
      { statusCode: 403 },
    )
  }
  return url
}

/** The origin that a setting names, `https://host[:port]` in its normal form; `undefined` for anything more or else. */
export function parseOrigin(text: string): string | undefined {
  if (FORBIDDEN.test(text) || !HTTP_URL.test(text) || !URL.canParse(text)) return undefined
  const { origin, href } = new URL(text)
  return href === `${origin}/` ? origin : undefined
}

/** A URL for messages: without user, password, query and fragment, which may hold secrets. */
export function shownUrl({ origin, pathname }: URL): string {
  const shown = `${origin}${pathname}`
  return shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}…` : shown
}
