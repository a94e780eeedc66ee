/** Writes outputs as a table: CSV, or records with one object for each row. */
import { ServerError } from '../../../../errors.ts'
import { JsonWriter, responseTooLarge } from '../json/writer.ts'
import { keysOf, writeScores } from '../predictions/class-forms.ts'
import { expectedBytes } from '../predictions/json-outputs.ts'
import { elementToText } from '../tensors/byte-strings.ts'
import { countText, quote, shapeText } from '../tensors/error-text.ts'
import { halfToNumber } from '../tensors/half.ts'
import { rowsOf } from '../tensors/rows.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { TableOutput } from './outputs.ts'
import { singleText } from './single-text.ts'

/** A field with one of these must be in quotes. */
const SPECIAL = /[",\r\n]/
/** Rows are written in parts of this many characters. */
const PART_CHARACTERS = 64 * 1024

/**
 * Writes one row for each row of the outputs: the elements of all outputs, in their order.
 * @param withHeader Whether the first row has the names. Scores with labels are named
 * `output.label`, as pandas flattens objects, and elements of other outputs are numbered.
 * @throws ServerError 406 when the outputs have no rows or differ in them, 507 when the response
 * exceeds `maxBytes`
 */
export function writeCsv(
  outputs: readonly TableOutput[],
  withHeader: boolean,
  maxBytes: number,
): Buffer {
  const rows = checkRows(outputs)
  const parts: Buffer[] = []
  let bytes = 0
  const add = (text: string): void => {
    const part = Buffer.from(text)
    bytes += part.length
    if (bytes > maxBytes) throw responseTooLarge(maxBytes)
    parts.push(part)
  }
  if (withHeader) add(`${outputs.flatMap(headerOf).join(',')}\n`)
  const columns = outputs.map((output) => ({ ...output, width: widthOf(output.tensor) }))
  let text = ''
  for (let row = 0; row < rows; row++) {
    for (const { name, tensor, width } of columns) {
      for (let at = row * width; at < (row + 1) * width; at++) {
        text += `${cellText(tensor, at, name)},`
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
 * Writes one object for each row, keyed by output name: as a list, or as JSON lines. Scores with
 * labels are an object keyed by label.
 * @throws ServerError as {@link writeCsv}
 */
export function writeRecords(
  outputs: readonly TableOutput[],
  form: 'list' | 'lines',
  maxBytes: number,
): Buffer {
  const rows = checkRows(outputs)
  const columns = outputs.map(cellWriter)
  const writer = new JsonWriter(maxBytes, expectedBytes(outputs.map(({ tensor }) => tensor)))
  if (form === 'list') writer.ascii('[')
  for (let row = 0; row < rows; row++) {
    if (row > 0 && form === 'list') writer.ascii(',')
    for (const [index, write] of columns.entries()) {
      writer
        .ascii(index > 0 ? ',' : '{')
        .string(outputs[index]?.name ?? '')
        .ascii(':')
      write(writer, row)
    }
    writer.ascii(form === 'list' ? '}' : '}\n')
  }
  return writer.ascii(form === 'list' ? ']\n' : '').finish()
}

/** Returns a function that writes the elements of one row of an output. */
function cellWriter({ name, tensor, labels }: TableOutput) {
  const width = widthOf(tensor)
  if (labels !== undefined) {
    const keys = keysOf(labels)
    return (writer: JsonWriter, row: number): void =>
      writeScores(writer, tensor, name, keys, row * width)
  }
  const shape = tensor.shape.slice(1)
  return (writer: JsonWriter, row: number): void => {
    const [from, to] = [row * width, (row + 1) * width]
    const cell: Tensor =
      tensor.datatype === 'BYTES'
        ? { datatype: 'BYTES', shape, data: tensor.data.slice(from, to) }
        : { datatype: tensor.datatype, shape, data: tensor.data.subarray(from, to) }
    writer.nested(cell, name)
  }
}

/** Returns the number of rows, which all outputs must have. */
function checkRows(outputs: readonly TableOutput[]): number {
  const rows = outputs[0] && rowsOf(outputs[0].tensor)
  const odd = outputs.find(({ tensor }) => rowsOf(tensor) === undefined || rowsOf(tensor) !== rows)
  if (odd === undefined) return rows ?? 0
  const [output, shape] = [quote(odd.name), shapeText(odd.tensor.shape)]
  const problem =
    rows === undefined
      ? `, because output ${output} has no rows (its shape is ${shape})`
      : ` with ${countText(rows, 'row')}, because output ${output} has the shape ${shape}`
  throw new ServerError(
    'InvalidInputException',
    `The response cannot be a table${problem}; accept application/json or application/x-npz.`,
    { statusCode: 406 },
  )
}

/** Number of elements in each row; also known when there are no rows. */
function widthOf({ shape }: Tensor): number {
  return elementCount(shape.slice(1))
}

function headerOf({ name, tensor, labels }: TableOutput): string[] {
  if (labels !== undefined) return labels.map((label) => quoted(`${name}.${label}`))
  const width = widthOf(tensor)
  if (width === 1) return [quoted(name)]
  return Array.from({ length: width }, (_, at) => quoted(`${name}_${at}`))
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
