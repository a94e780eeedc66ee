/** Checks from which URLs a model may be downloaded, and formats URLs for messages. */
import { ServerError } from '../../errors.ts'
import { isHttpUrl, parseOrigin } from '../../http-url.ts'

const MAX_SHOWN = 200

/**
 * Parses the URL of a model. Its origin (scheme, host and port) must be in `allowedOrigins`.
 * @throws ServerError 400 if it is not a plain http(s) URL; 403 if its origin is not allowed.
 */
export function parseModelUrl(text: string, allowedOrigins: readonly string[]): URL {
  if (!isHttpUrl(text)) {
    throw new ServerError(
      'BadRequestException',
      'Invalid model url: it is not an http or https URL.',
    )
  }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') {
    throw new ServerError(
      'BadRequestException',
      'Invalid model url: it contains a user name or password.',
    )
  }
  if (!allowedOrigins.some((origin) => parseOrigin(origin) === url.origin)) {
    throw new ServerError(
      'BadRequestException',
      `Models cannot be downloaded from ${url.origin}: --allowed-origins does not list it.`,
      { statusCode: 403 },
    )
  }
  return url
}

/** Returns a URL for messages: without user, password, query and fragment, which may be secret. */
export function shownUrl({ origin, pathname }: URL): string {
  const shown = `${origin}${pathname}`
  return shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}…` : shown
}
