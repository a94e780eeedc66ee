/** Writes the inputs and outputs of a model as TypeScript. */
import { TYPE_NAMES } from '../../../contract/datatypes.ts'
import type { Datatype } from '../../../contract/datatypes.ts'
import { memberOf } from '../../json.ts'

/** Longer unions have one label in each line. */
const MAX_LINE = 60
/** More labels, such as the characters of a script, are only texts: nobody compares with them. */
const MAX_LABELS = 2000
const ANY_LABEL = ' string'
/** The module with the types, in quotes. */
const MODULE = "'onnxd/handler'"

/** @param model The name of the file or folder. */
export function declarationOf(metadata: unknown, model: string): string {
  const outputs = memberOf(metadata, 'outputs')
  const labels = labelsOf(metadata, outputs)
  return `// Written by "onnxd types" from ${comment(model)}. Write it again when the model changes.
import type { OnnxModel, Tensor } from ${MODULE}

export interface Inputs {
${membersOf(memberOf(metadata, 'inputs'))}}

export interface Outputs {
${membersOf(outputs)}}

/** The class labels. */
export type Label =${labels}

export type Model = OnnxModel<Inputs, Outputs${labels === ANY_LABEL ? '' : ', Label'}>
`
}

function membersOf(tensors: unknown): string {
  return listOf(tensors).map(memberText).join('')
}

function memberText(tensor: unknown): string {
  const name = memberOf(tensor, 'name')
  const datatype = memberOf(tensor, 'datatype')
  if (typeof name !== 'string' || !isDatatype(datatype)) return ''
  const dimensions = listOf(memberOf(tensor, 'dimensions')).map(sizeText)
  const type = `'${TYPE_NAMES[datatype]}'`
  const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : quotedText(name)
  if (memberOf(tensor, 'anyShape') === true) return `  readonly ${key}: Tensor<${type}>\n`
  const sizes = dimensions.map((size) => (/^\d+$/.test(size) ? size : 'number'))
  const shown = comment(`${datatype} [${dimensions.join(',')}]`)
  return `  /** ${shown} */\n  readonly ${key}: Tensor<${type}, readonly [${sizes.join(', ')}]>\n`
}

/** A size, or the name of a variable dimension. */
function sizeText(size: unknown): string {
  return typeof size === 'number' || (typeof size === 'string' && size !== '') ? String(size) : '?'
}

function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && Object.hasOwn(TYPE_NAMES, value)
}

/** The labels of the model, of its text task, or of its first output that has some. */
function labelsOf(metadata: unknown, outputs: unknown): string {
  const places = [metadata, memberOf(metadata, 'text'), ...listOf(outputs)]
  const found = places.map((place) => listOf(memberOf(place, 'labels')))
  const labels = found.find((list) => list.length > 0) ?? []
  const texts = labels.filter((label): label is string => typeof label === 'string')
  const unique = [...new Set(texts)]
  if (unique.length === 0 || unique.length > MAX_LABELS) return ANY_LABEL
  const quoted = unique.map(quotedText)
  const line = ` ${quoted.join(' | ')}`
  return line.length <= MAX_LINE ? line : quoted.map((label) => `\n  | ${label}`).join('')
}

function quotedText(text: string): string {
  return /^[^'"\\\p{Cc}]*$/u.test(text) ? `'${text}'` : JSON.stringify(text)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Nothing in a name may end the comment or its line. */
function comment(text: string): string {
  return text.replaceAll('*/', '* /').replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?')
}
