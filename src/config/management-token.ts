import { ConfigError } from '../errors.ts'

/** What a header can carry as a token: visible ASCII characters without spaces. */
const TOKEN = /^[\x21-\x7e]+$/

/**
 * A token as it was written into a setting. White space around it does not belong to it: a file
 * often ends with a newline, which no client can send.
 * @param place Where the setting came from, for the message.
 * @throws ConfigError when nothing is left, or something that no client can send.
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
