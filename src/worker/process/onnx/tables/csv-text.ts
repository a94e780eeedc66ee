/** Finds out how a CSV file is written: its encoding, and what separates its fields. */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../../../errors.ts'
import { fileFormatOf } from '../../../../formats/file-format.ts'
import { encodingOf } from '../table-columns.ts'
import { quote } from '../tensors/error-text.ts'
import type { TablePlan } from './plan.ts'

const UTF8_MARK = Buffer.from([0xef, 0xbb, 0xbf])

/**
 * Returns the text as UTF-8 without a byte order mark. UTF-16 needs one, as Excel writes it.
 * @throws ServerError 400 for other encodings
 */
export function utf8Of(bytes: Buffer): Buffer {
  const encoding = encodingOf(bytes)
  if (encoding !== undefined) {
    try {
      return Buffer.from(new TextDecoder(encoding, { fatal: true }).decode(bytes))
    } catch {
      throw notUtf8(bytes)
    }
  }
  if (bytes.includes(0) || !isUtf8(bytes)) throw notUtf8(bytes)
  return UTF8_MARK.equals(bytes.subarray(0, UTF8_MARK.length))
    ? bytes.subarray(UTF8_MARK.length)
    : bytes
}

function notUtf8(bytes: Buffer): ServerError {
  const format = fileFormatOf(bytes)
  if (format === undefined) {
    const text = 'The CSV is not UTF-8 text. Save it as UTF-8 and send it again.'
    return new ServerError('InvalidInputException', text)
  }
  const text = `The body is ${format}, not CSV; send it with its own content type.`
  return new ServerError('UnsupportedMediaTypeException', text)
}

const SEPARATORS: readonly (readonly [separator: string, name: string])[] = [
  [';', 'semicolons'],
  ['\t', 'tabs'],
  ['|', 'vertical bars'],
]
const NUMBER = /^\s*[+-]?\d+(?:[.,]\d+)?\s*$/
const DECIMAL_COMMA = /^\s*[+-]?\d*,\d+\s*$/

/** A file whose fields are not separated by commas. */
export interface WrongSeparator {
  readonly separator: string
  /** What is wrong, as a sentence. */
  readonly problem: string
}

/**
 * Finds another separator in the first row, whose fields were separated at commas: the row has no
 * comma, or another separator gives the right number of fields, which are numbers.
 */
export function findWrongSeparator(
  fields: readonly string[],
  { columns, inputs }: TablePlan,
): WrongSeparator | undefined {
  const count = columns?.length
  if (count === 1) return undefined
  // A text may contain any separator.
  const mayBeTexts = count === fields.length && inputs.some(({ datatype }) => datatype === 'BYTES')
  if (mayBeTexts) return undefined
  const row = fields.join(',')
  const found = SEPARATORS.find(([separator]) => {
    const parts = row.split(separator)
    if (parts.length < 2) return false
    return fields.length === 1 || (parts.length === count && parts.every((one) => NUMBER.test(one)))
  })
  if (found === undefined) return undefined
  const [separator, name] = found
  const problem = `The fields of the CSV are separated by ${name}: separate them with commas, and write decimals with a point.`
  return { separator, problem }
}

/** Names the first cell with a decimal comma, if a row has one. */
export function decimalCommaIn(
  fields: readonly string[],
  { separator }: WrongSeparator,
  row: number,
  names: readonly string[],
): string {
  const cells = fields.join(',').split(separator)
  const at = cells.findIndex((cell) => DECIMAL_COMMA.test(cell))
  const cell = cells[at]
  if (cell === undefined) return ''
  return ` Row ${row}, column ${quote(names[at] ?? String(at))}, has ${quote(cell.trim())}.`
}

/** Advice for a cell that is not a number; empty if there is none. */
export function decimalAdvice(text: string): string {
  return DECIMAL_COMMA.test(text) ? '; write decimals with a point' : ''
}
