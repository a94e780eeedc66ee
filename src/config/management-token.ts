import { ConfigError } from '../errors.ts'

/** Characters that a header can carry in a token: visible ASCII without spaces. */
const TOKEN = /^[\x21-\x7e]+$/

/**
 * Returns the token of a setting without surrounding white space: a file often ends with a newline,
 * which no client can send.
 * @param place Origin of the setting, for the message.
 * @throws ConfigError if the token is empty or has characters that no client can send.
 */
export function readToken(text: string, place: string): string {
  const token = text.trim()
  if (token === '') {
    throw new ConfigError(
      `managementToken in ${place} is empty. Set a token, or leave the setting out to have none.`,
    )
  }
  if (TOKEN.test(token)) return token
  throw new ConfigError(
    `managementToken in ${place} must consist of visible ASCII characters without spaces.`,
  )
}
