import { messageOf } from '../../../../errors.ts'
import { fieldsOf, textOf } from '../json-fields.ts'
import { SplitPreTokenizer } from './library.ts'
import { malformed, unsupported } from './unsupported.ts'

/** Atomic groups, possessive quantifiers and `\G`, which JavaScript cannot express. */
const OTHER_ENGINE = /(?<!\\)(?:\\\\)*(?:\(\?>|(?:[+*?]|\{\d+(?:,\d*)?\})\+|\\G)/
const MAX_LENGTH = 10_000

/**
 * Returns the expression of a `pattern`, a text or an expression in the syntax of Oniguruma.
 * @throws ServerError `InvalidModelException`.
 */
export function patternOf(value: unknown): RegExp {
  const { Regex, String: literal } = fieldsOf(value)
  const source = textOf(Regex)
  if (source === undefined) {
    const text = textOf(literal) ?? textOf(value)
    if (text === undefined || text === '') throw malformed('a pattern is neither text nor Regex')
    return new RegExp(text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`), 'gu')
  }
  const shown = JSON.stringify(source.slice(0, 80))
  if (source.length > MAX_LENGTH || OTHER_ENGINE.test(source)) {
    throw unsupported(`the expression ${shown}`)
  }
  try {
    const { pattern } = new SplitPreTokenizer({
      type: 'Split',
      pattern: { Regex: source },
      behavior: 'Isolated',
      invert: false,
    })
    if (pattern instanceof RegExp) return pattern
  } catch (error) {
    throw unsupported(`the expression ${shown} (${messageOf(error, 200)})`)
  }
  throw unsupported(`the expression ${shown}`)
}
