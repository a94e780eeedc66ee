/** Fields of a request with texts, for each task. */
import { memberOf, membersOf, textOf, textsOf } from './unknown-json.ts'

/** A field of the form. `lines` has one text on each line. */
export interface TextField {
  /** Name of the member in the request. */
  readonly name: string
  readonly label: string
  readonly kind: 'text' | 'lines' | 'number' | 'choice'
  readonly hint?: string | undefined
  /** For choices: the values as JSON. The empty one leaves the member out. */
  readonly choices?: readonly string[] | undefined
  readonly initial: string
}

/** One way to use the model. */
export interface TextVariant {
  readonly label: string
  /** Fields that are always sent. */
  readonly fields: readonly TextField[]
  /** Fields that are sent if they are not empty. */
  readonly options: readonly TextField[]
}

export interface TextForm {
  readonly variants: readonly TextVariant[]
}

const TEXT = { name: 'inputs', label: 'Text', kind: 'text' } as const
const SIMILARITY = {
  source_sentence: 'The cat sat on the mat.',
  sentences: ['A cat is on a mat.', 'Paris is in France.'],
}

/** Members that belong to one variant only. */
const OF_VARIANT: readonly string[] = [
  'inputs',
  'question',
  'context',
  'query',
  'texts',
  'candidate_labels',
  'hypothesis_template',
  'multi_label',
  'source_sentence',
  'sentences',
]

/** The fields for the schema of a request, with the texts of an example. */
export function textForm(schema: unknown, example: unknown): TextForm {
  const properties = membersOf(memberOf(schema, 'properties'))
  const has = (name: string): boolean => Object.hasOwn(properties, name)
  const general = Object.keys(properties).filter((name) => !OF_VARIANT.includes(name))
  const variant = (
    label: string,
    fields: readonly Omit<TextField, 'initial'>[],
    options: readonly string[] = general,
    values: unknown = example,
  ): TextVariant => ({
    label,
    fields: fields.map((field) => ({ ...field, initial: initialOf(field, values) })),
    options: options.flatMap((name) => optionOf(name, properties[name])),
  })

  if (has('question')) {
    return one('Question answering', [
      { name: 'question', label: 'Question', kind: 'text' },
      { name: 'context', label: 'Text with the answer', kind: 'text' },
    ])
  }
  if (has('query')) {
    return one('Ranking', [
      { name: 'query', label: 'Query', kind: 'text' },
      { name: 'texts', label: 'Texts to rank', kind: 'lines', hint: 'One text on each line.' },
    ])
  }
  if (has('candidate_labels')) {
    const labels = {
      name: 'candidate_labels',
      label: 'Labels to choose from',
      kind: 'lines',
      hint: 'One label on each line.',
    } as const
    const zeroShot = ['hypothesis_template', 'multi_label', 'truncate']
    return {
      variants: [
        variant('Own labels', [TEXT, labels], zeroShot),
        variant('Labels of the model', [TEXT]),
      ],
    }
  }
  if (has('source_sentence')) {
    const fields = [
      { name: 'source_sentence', label: 'Text', kind: 'text' },
      {
        name: 'sentences',
        label: 'Texts to compare with',
        kind: 'lines',
        hint: 'One text on each line.',
      },
    ] as const
    return {
      variants: [
        variant('Vector', [TEXT]),
        variant('Similarity', fields, ['prompt', 'prompt_name', 'truncate'], SIMILARITY),
      ],
    }
  }
  return one('Text', [TEXT])

  function one(label: string, fields: readonly Omit<TextField, 'initial'>[]): TextForm {
    return { variants: [variant(label, fields)] }
  }
}

function initialOf({ name }: Pick<TextField, 'name'>, example: unknown): string {
  const value = memberOf(example, name)
  return Array.isArray(value) ? textsOf(value).join('\n') : (textOf(value) ?? '')
}

/** The field of an optional member; none for a type that has no control. */
function optionOf(name: string, schema: unknown): TextField[] {
  const hint = textOf(memberOf(schema, 'description'))
  const field = { name, label: name, hint, initial: '' }
  const names = textsOf(memberOf(schema, 'enum'))
  if (names.length > 0) {
    const choices = names.map((value) => JSON.stringify(value))
    return [{ ...field, kind: 'choice', choices }]
  }
  switch (memberOf(schema, 'type')) {
    case 'boolean':
      return [{ ...field, kind: 'choice', choices: ['true', 'false'] }]
    case 'integer':
    case 'number':
      return [{ ...field, kind: 'number' }]
    case 'string':
      return [{ ...field, kind: 'text' }]
    case 'array':
      return [{ ...field, kind: 'lines', hint: hint ?? 'One text on each line.' }]
    default:
      return []
  }
}

/** The body of a request, as JSON. `values` are the texts by the names of the fields. */
export function textBody(variant: TextVariant, values: ReadonlyMap<string, string>): string {
  const members = [
    ...variant.fields.map((field) => ({ field, isNeeded: true })),
    ...variant.options.map((field) => ({ field, isNeeded: false })),
  ].flatMap(({ field, isNeeded }) => {
    const value = values.get(field.name) ?? field.initial
    if (!isNeeded && value.trim() === '') return []
    return [`${JSON.stringify(field.name)}: ${jsonOf(field, value)}`]
  })
  return `{${members.join(', ')}}`
}

function jsonOf({ kind }: TextField, value: string): string {
  switch (kind) {
    case 'lines': {
      const lines = value.split('\n').map((line) => line.trim())
      return JSON.stringify(lines.filter((line) => line !== ''))
    }
    case 'choice':
      return value
    case 'number':
      // Anything else goes to the server as a text; its error says what is wrong.
      return /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(value.trim())
        ? value.trim()
        : JSON.stringify(value)
    default:
      return JSON.stringify(value)
  }
}
