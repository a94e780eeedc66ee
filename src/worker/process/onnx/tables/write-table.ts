/** Writes outputs as a table: CSV, or records with one object for each row. */
import { ServerError } from '../../../../errors.ts'
import { JsonWriter, responseTooLarge } from '../json/writer.ts'
import { expectedBytes } from '../predictions/json-outputs.ts'
import { elementToText } from '../tensors/byte-strings.ts'
import { quote, shapeText } from '../tensors/error-text.ts'
import { halfToNumber } from '../tensors/half.ts'
import { rowsOf, splitRows } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { singleText } from './single-text.ts'

/** A field with one of these must be in quotes. */
const SPECIAL = /[",\r\n]/
/** Rows are written in parts of this many characters. */
const PART_CHARACTERS = 64 * 1024

/**
 * Writes one row for each row of the outputs: the elements of all outputs, in their order.
 * @param withHeader Whether the first row has the names. Elements of one output are numbered.
 * @throws ServerError 406 when the outputs have no rows or differ in them, 507 when the response
 * exceeds `maxBytes`
 */
export function writeCsv(
  names: readonly string[],
  outputs: readonly Tensor[],
  withHeader: boolean,
  maxBytes: number,
): Buffer {
  const rows = checkRows(names, outputs)
  const widths = outputs.map(({ data }) => data.length / Math.max(rows, 1))
  const parts: Buffer[] = []
  let bytes = 0
  const add = (text: string): void => {
    const part = Buffer.from(text)
    bytes += part.length
    if (bytes > maxBytes) throw responseTooLarge(maxBytes)
    parts.push(part)
  }
  if (withHeader) add(`${headerOf(names, widths).join(',')}\n`)
  let text = ''
  for (let row = 0; row < rows; row++) {
    for (const [index, output] of outputs.entries()) {
      const width = widths[index] ?? 0
      for (let at = row * width; at < (row + 1) * width; at++) {
        text += `${cellText(output, at, names[index] ?? '')},`
      }
    }
    text = `${text.slice(0, -1)}\n`
    if (text.length >= PART_CHARACTERS) {
      add(text)
      text = ''
    }
  }
  add(text)
  return Buffer.concat(parts)
}

/**
 * Writes one object for each row, keyed by output name: as a list, or as JSON lines.
 * @throws ServerError as {@link writeCsv}
 */
export function writeRecords(
  names: readonly string[],
  outputs: readonly Tensor[],
  form: 'list' | 'lines',
  maxBytes: number,
): Buffer {
  const rows = checkRows(names, outputs)
  const single = Array.from({ length: rows }, () => 1)
  const columns = outputs.map((output) => splitRows(output, single))
  const writer = new JsonWriter(maxBytes, expectedBytes(outputs))
  if (form === 'list') writer.ascii('[')
  for (let row = 0; row < rows; row++) {
    if (row > 0 && form === 'list') writer.ascii(',')
    writer.ascii('{')
    for (const [index, name] of names.entries()) {
      const cell = columns[index]?.[row]
      if (cell === undefined) throw new TypeError('an output without a row')
      writer
        .ascii(index > 0 ? ',' : '')
        .string(name)
        .ascii(':')
        .nested({ ...cell, shape: cell.shape.slice(1) }, name)
    }
    writer.ascii(form === 'list' ? '}' : '}\n')
  }
  return writer.ascii(form === 'list' ? ']\n' : '').finish()
}

/** Returns the number of rows, which all outputs must have. */
function checkRows(names: readonly string[], outputs: readonly Tensor[]): number {
  const rows = (outputs[0] && rowsOf(outputs[0])) ?? 0
  const odd = outputs.findIndex((output) => rowsOf(output) === undefined || rowsOf(output) !== rows)
  if (odd === -1) return rows
  const shape = shapeText(outputs[odd]?.shape ?? [])
  throw new ServerError(
    'InvalidInputException',
    `The response cannot be a table with ${rows} rows, because output ${quote(names[odd] ?? '')} has the shape ${shape}; accept application/json.`,
    { statusCode: 406 },
  )
}

function headerOf(names: readonly string[], widths: readonly number[]): string[] {
  return names.flatMap((name, index) =>
    widths[index] === 1
      ? [quoted(name)]
      : Array.from({ length: widths[index] ?? 0 }, (_, at) => quoted(`${name}_${at}`)),
  )
}

/** Numbers as pandas reads them: `NaN` and `inf` where JSON has `null`. */
function cellText(output: Tensor, at: number, name: string): string {
  if (output.datatype === 'BYTES') {
    const text = elementToText(output.data[at] ?? '')
    if (text !== undefined) return quoted(text)
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(name)}, element ${at}: the bytes are not valid UTF-8, so CSV cannot represent them.`,
    )
  }
  const value = output.data[at] ?? 0
  if (typeof value === 'bigint') return String(value)
  switch (output.datatype) {
    case 'BOOL':
      return value === 0 ? 'false' : 'true'
    case 'FP16':
      return numberText(halfToNumber(value), true)
    case 'FP32':
      return numberText(value, true)
    default:
      return numberText(value, false)
  }
}

function numberText(value: number, isSingle: boolean): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (Object.is(value, -0)) return '-0'
  return isSingle ? singleText(value) : String(value)
}

function quoted(text: string): string {
  return text === '' || SPECIAL.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
