/** Writes texts as literals of a shell, of Python and of TypeScript. */
import type { ExactJson } from './exact-json.ts'

/** Text that a POSIX shell takes as it is. */
const PLAIN_WORD = /^[A-Za-z0-9_/:.,@%+=-]+$/

/** One word of a POSIX shell: in single quotes no character is special. */
export function shellWord(text: string): string {
  return PLAIN_WORD.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** A string literal of Python. It has no character that ends a line. */
export function pythonText(text: string): string {
  return quoted(text, (code) =>
    code > 0xff_ff
      ? `\\U${code.toString(16).padStart(8, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`,
  )
}

/** A string literal of TypeScript. It has no character that ends a line. */
export function scriptText(text: string): string {
  return quoted(text, (code) => `\\u{${code.toString(16)}}`)
}

const NAMED: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}
/** Control characters, line ends, direction marks and unpaired surrogates, which editors hide. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u

function quoted(text: string, escape: (code: number) => string): string {
  const parts = Array.from(text, (character) => {
    const named = NAMED[character]
    if (named !== undefined) return named
    return HIDDEN.test(character) ? escape(character.codePointAt(0) ?? 0) : character
  })
  return `'${parts.join('')}'`
}

/** The words and the string literals of a language. */
interface Language {
  readonly words: Readonly<Record<'true' | 'false' | 'null', string>>
  readonly text: (text: string) => string
  /** A key of an object. */
  readonly key: (text: string) => string
  readonly indent: string
}

const PYTHON: Language = {
  words: { true: 'True', false: 'False', null: 'None' },
  text: pythonText,
  key: pythonText,
  indent: '    ',
}
const SCRIPT: Language = {
  words: { true: 'true', false: 'false', null: 'null' },
  text: scriptText,
  // `__proto__: value` would set the prototype; in brackets it is a member.
  key: (name) =>
    name === '__proto__' ? `['__proto__']` : /^[A-Za-z_]\w*$/.test(name) ? name : scriptText(name),
  indent: '  ',
}

/** A value as an expression of Python, on lines that begin with `indent`. */
export function pythonValue(value: ExactJson, indent = ''): string {
  return expression(value, PYTHON, indent)
}

/** A value as an expression of TypeScript, on lines that begin with `indent`. */
export function scriptValue(value: ExactJson, indent = ''): string {
  return expression(value, SCRIPT, indent)
}

/** Lines of an expression are at most this long where its parts allow that. */
const LINE_WIDTH = 88

function expression(value: ExactJson, language: Language, indent: string): string {
  switch (value.kind) {
    case 'word':
      return language.words[String(value.value) as 'true' | 'false' | 'null']
    case 'number':
      return value.text
    case 'string':
      return language.text(value.value)
    case 'list':
      return bracketed(
        ['[', ']'],
        value.items.map((item) => expression(item, language, indent + language.indent)),
        indent,
        language,
      )
    case 'object':
      return bracketed(
        ['{', '}'],
        value.members.map(
          ([name, member]) =>
            `${language.key(name)}: ${expression(member, language, indent + language.indent)}`,
        ),
        indent,
        language,
      )
  }
}

/** Parts between brackets: on one line if they fit, else one on each line. */
function bracketed(
  [open, close]: readonly [string, string],
  parts: readonly string[],
  indent: string,
  language: Language,
): string {
  const line = `${open}${parts.join(', ')}${close}`
  if (!line.includes('\n') && line.length + indent.length <= LINE_WIDTH) return line
  const lines = parts.map((part) => `${indent}${language.indent}${part},\n`)
  return `${open}\n${lines.join('')}${indent}${close}`
}
