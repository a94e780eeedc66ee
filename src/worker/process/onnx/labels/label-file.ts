/** Parses the content of label files. */

/** The content is not a list of labels. The message has no subject and no full stop. */
export class LabelError extends Error {}

/** A class number, a separator, and the label. */
const NUMBERED = /^(\d+)(?:\s*[:,;=\t]\s*|\s+)(\S.*)$/
/** Control characters, line separators, and marks that change the writing direction. */
const CONTROLS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu
/** Keys of objects that have the labels of a model under a name. */
const NESTED_KEYS = ['id2label', 'label2id', 'names', 'labels', 'classes'] as const
const NAME_KEYS = ['name', 'label', 'class', 'display_name'] as const
const NUMBER_KEYS = ['id', 'index', 'class_id'] as const
/** Objects with labels within objects. Without a limit, a hostile file exhausts the stack. */
const MAX_LEVELS = 4

/**
 * Returns the labels in the order of classes. The text has one label per line, with or without
 * class numbers, or is JSON in one of the forms of {@link labelsIn}.
 * @throws LabelError
 */
export function parseLabels(content: string, isJson: boolean): readonly string[] {
  const text = content.replace(/^\uFEFF/, '')
  if (text.trim() === '') throw new LabelError('is empty')
  if (!isJson) return labelsOfLines(text).map(printableLabel)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new LabelError('is not JSON', { cause })
  }
  return labelsIn(value)
}

/**
 * Returns the labels in a value of JSON: a list of labels, a list of objects with `name` and
 * perhaps `id`, an object by class number, an object from label to class number, or an object with
 * one of these under `id2label`, `label2id`, `names`, `labels` or `classes`. Where a list stands in
 * place of a label, as in TorchServe's files, its last entry is the label.
 * @throws LabelError
 */
export function labelsIn(value: unknown, levels = MAX_LEVELS): readonly string[] {
  if (typeof value !== 'object' || value === null)
    throw new LabelError('is neither a list nor an object')
  if (levels === 0) throw new LabelError('has too many levels')
  const entries = Object.entries(value)
  const isInverse = entries.length > 0 && entries.every(([, one]) => typeof one === 'number')
  if (isInverse && !Array.isArray(value)) {
    return inOrder(entries.map(([label, index]) => [String(index), label]))
  }
  if (
    Array.isArray(value) &&
    entries.every(([, one]) => isObject(one) && numberIn(one) !== undefined)
  )
    return inOrder(entries.map(([index, one]) => [numberOf(one) ?? index, labelOf(index, one)]))
  if (!Array.isArray(value)) {
    const nested = NESTED_KEYS.map((key) => Reflect.get(value, key) as unknown).find(
      (one) => typeof one === 'object' && one !== null,
    )
    if (nested !== undefined) return labelsIn(nested, levels - 1)
  }
  return inOrder(entries.map(([index, one]) => [index, labelOf(index, one)]))
}

/**
 * Returns a label in which each run of control characters is a space. Labels are shown in
 * terminals, tables and images.
 */
export function printableLabel(label: string): string {
  const printable = label.replaceAll(CONTROLS, ' ')
  return printable === label ? label : printable.trim()
}

/** Class numbers count only if every line has one, so that a label may begin with a number. */
function labelsOfLines(text: string): readonly string[] {
  const lines = text
    .trimEnd()
    .split(/\r\n?|\n/)
    .map((line) => line.trim())
  const numbered = lines.filter((line) => line !== '').map((line) => NUMBERED.exec(line))
  const pairs = numbered.flatMap((match): [string, string][] =>
    match?.[1] === undefined || match[2] === undefined
      ? []
      : [[String(Number(match[1])), match[2].trim()]],
  )
  if (pairs.length < numbered.length || pairs.length === 0) return lines
  const labels = new Map(pairs)
  const isComplete =
    labels.size === pairs.length && pairs.every((_, index) => labels.has(String(index)))
  return isComplete ? pairs.map((_, index) => labels.get(String(index)) ?? '') : lines
}

/** @throws LabelError when the class numbers are not 0, 1, 2 and so on. */
function inOrder(pairs: readonly (readonly [index: string, label: string])[]): readonly string[] {
  const labels = new Map(pairs)
  return pairs.map((_, index) => {
    const label = labels.get(String(index))
    if (label === undefined)
      throw new LabelError(`does not have the class numbers 0 to ${pairs.length - 1}`)
    return printableLabel(label)
  })
}

function labelOf(index: string, entry: unknown): string {
  const label: unknown = Array.isArray(entry)
    ? entry.at(-1)
    : isObject(entry)
      ? NAME_KEYS.map((key): unknown => Reflect.get(entry, key)).find((one) => one !== undefined)
      : entry
  if (typeof label === 'string') return label
  throw new LabelError(`has no label for class ${JSON.stringify(index)}`)
}

function numberOf(entry: unknown): string | undefined {
  return isObject(entry) ? numberIn(entry) : undefined
}

function numberIn(entry: object): string | undefined {
  const number = NUMBER_KEYS.map((key): unknown => Reflect.get(entry, key)).find(
    (one) => one !== undefined,
  )
  return typeof number === 'number' || typeof number === 'string' ? String(number) : undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
