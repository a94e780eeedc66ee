/** Reads the classes that a node lists: a classifier, or the `ZipMap` behind it. */
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'
import { readIntegers } from './tensor-reader.ts'

const NODE_ATTRIBUTE = 5
const ATTRIBUTE = { name: 1, integers: 8, texts: 9 } as const
/** Attributes that list the classes. */
const TEXTS = 'classlabels_strings'
const NUMBERS: ReadonlySet<string> = new Set(['classlabels_int64s', 'classlabels_ints'])
const MAX_CLASSES = 100_000
const MAX_TEXT_BYTES = 64 * 1024

/** The classes of a classifier, in the order of its scores. */
export type ClassList =
  | { readonly kind: 'texts'; readonly texts: readonly string[] }
  | { readonly kind: 'numbers'; readonly numbers: readonly number[] }

/**
 * Returns the classes that a node lists; `undefined` when it lists none, or in a form that cannot
 * be used.
 * @throws ProtoError
 */
export function readClassList(file: ProtoFile, node: Range): ClassList | undefined {
  let list: ClassList | undefined
  for (const field of file.fields(node)) {
    if (field.number !== NODE_ATTRIBUTE) continue
    const found = listIn(file, field)
    if (found !== undefined) list = found
  }
  return list
}

function listIn(file: ProtoFile, attribute: Range): ClassList | undefined {
  const name = nameOf(file, attribute)
  if (name === TEXTS) {
    const texts: string[] = []
    for (const field of file.fields(attribute)) {
      if (field.number === ATTRIBUTE.texts) texts.push(textIn(file, field))
      if (texts.length > MAX_CLASSES) return undefined
    }
    const isReadable = texts.length > 0 && !texts.some((text) => text.includes('\uFFFD'))
    return isReadable ? { kind: 'texts', texts } : undefined
  }
  if (!NUMBERS.has(name)) return undefined
  const numbers: number[] = []
  for (const field of file.fields(attribute)) {
    if (field.number !== ATTRIBUTE.integers) continue
    for (const value of readIntegers(file, field, MAX_CLASSES)) numbers.push(value)
    if (numbers.length > MAX_CLASSES) return undefined
  }
  const isExact = numbers.length > 0 && numbers.every((value) => Number.isSafeInteger(value))
  return isExact ? { kind: 'numbers', numbers } : undefined
}

/** The name may come after the values. */
function nameOf(file: ProtoFile, attribute: Range): string {
  for (const field of file.fields(attribute)) {
    if (field.number === ATTRIBUTE.name) return textIn(file, field)
  }
  return ''
}

function textIn(file: ProtoFile, field: ProtoField): string {
  return file.bytes(field, MAX_TEXT_BYTES).toString('utf8')
}
