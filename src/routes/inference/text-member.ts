/** Finds a member of a JSON body without parsing it. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])

/**
 * Returns the text of a member of the outermost JSON object, without parsing the rest: a body may
 * have megabytes of texts. Returns `undefined` if there is no such text. The worker checks the
 * JSON.
 */
export function textMember(body: Buffer, member: string): string | undefined {
  let depth = 0
  let name: string | undefined
  for (let index = 0; index < body.length; index += 1) {
    const code = body[index] ?? 0
    if (code === QUOTE) {
      const end = endOfString(body, index)
      if (depth === 1) {
        if (name === member) return stringOf(body.toString('utf8', index, end + 1))
        name = isFollowedByColon(body, end) ? body.toString('utf8', index + 1, end) : undefined
      }
      index = end
    } else if (OPENING.has(code)) depth += 1
    else if (CLOSING.has(code)) depth -= 1
    else if (code === COMMA && depth === 1) name = undefined
  }
  return undefined
}

function isFollowedByColon(body: Buffer, end: number): boolean {
  let index = end + 1
  while (/\s/.test(String.fromCharCode(body[index] ?? 0))) index += 1
  return body[index] === COLON
}

/** The index of the closing quote of the string that begins at `start`; the end without one. */
function endOfString(body: Buffer, start: number): number {
  for (let end = body.indexOf(QUOTE, start + 1); end >= 0; end = body.indexOf(QUOTE, end + 1)) {
    let slashes = 0
    while (body[end - 1 - slashes] === BACKSLASH) slashes += 1
    if (slashes % 2 === 0) return end
  }
  return body.length
}

function stringOf(written: string): string | undefined {
  try {
    const value: unknown = JSON.parse(written)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
