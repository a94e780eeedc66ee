/** Removes secrets from the headers and the query of a request before it is recorded. */
import { parse } from 'node:querystring'
import type { RecordedDescription } from '../../recording/description.ts'

/** A value that was removed. */
export const REDACTED = '[redacted]'
/** A header is secret if its name contains one of these. */
const SECRET_HEADER =
  /auth|cookie|credential|passw|secret|session|signature|token|(?:api|access|private)[-_]?key/i
/** A parameter may be an input of a model, so only whole names count. */
const SECRET_PARAMETER =
  /^(?:(?:access|api|auth|id|refresh|secret)?[-_]?(?:key|token)|auth|authorization|credential|passw(?:or)?d|secret|sig|signature|x-amz-.+)$/i

/** Decides what is secret. */
export class Redaction {
  readonly #names: ReadonlySet<string>

  /** @param names Further names of headers and parameters, in any case. */
  constructor(names: readonly string[]) {
    this.#names = new Set(names.map((name) => name.toLowerCase()))
  }

  /** Returns the headers and the URL without secrets. */
  apply(
    headers: readonly (readonly [name: string, value: string])[],
    url: string,
  ): Pick<RecordedDescription, 'headers' | 'url' | 'redacted'> {
    const redacted: string[] = []
    const [path = '', ...query] = url.split('?')
    const pairs = query.length === 0 ? [] : query.join('?').split('&')
    const shown = pairs.map((pair) => {
      const [name = ''] = Object.keys(parse(pair))
      if (!this.#isSecretParameter(name)) return pair
      redacted.push(name)
      return `${pair.split('=', 1)[0] ?? ''}=${REDACTED}`
    })
    return {
      headers: headers.map(([name, value]): [string, string] => {
        if (!this.isSecretHeader(name)) return [name, value]
        redacted.push(name)
        return [name, REDACTED]
      }),
      url: query.length === 0 ? path : `${path}?${shown.join('&')}`,
      redacted,
    }
  }

  isSecretHeader(name: string): boolean {
    return SECRET_HEADER.test(name) || this.#names.has(name.toLowerCase())
  }

  #isSecretParameter(name: string): boolean {
    return SECRET_PARAMETER.test(name) || this.#names.has(name.toLowerCase())
  }
}
