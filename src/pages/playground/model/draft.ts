/** The request that the user is writing. */
import { JsonProblem, layOut, parseExact } from '../request/exact-json.ts'
import { fileType } from '../request/request.ts'
import type { RequestBody } from '../request/request.ts'
import type { ModelDescription, RequestForm } from './description.ts'
import { initialValue, tensorBody } from './tensor-values.ts'
import type { TensorValue } from './tensor-values.ts'
import { textBody } from './text-form.ts'

/** How the body is entered. */
export type Mode = 'fields' | 'json' | 'csv' | 'plain' | 'file'

/** A file that was dropped or chosen. */
export interface ChosenFile {
  readonly name: string
}

export interface Draft<File extends ChosenFile = ChosenFile> {
  readonly mode: Mode
  /** Values of the tensors, in the order of the inputs. */
  readonly tensors: readonly TensorValue[]
  /** Index of the way to use a text model. */
  readonly variant: number
  /** Texts in the fields of a text model, by the name of the field. */
  readonly texts: ReadonlyMap<string, string>
  /** The whole body; `undefined` until the user edits it. */
  readonly json: string | undefined
  readonly csv: string | undefined
  readonly plain: string
  readonly file: File | undefined
}

/** The ways to enter a request, the first one is selected. */
export function modesOf(form: RequestForm): readonly Mode[] {
  switch (form.kind) {
    case 'tensors':
      return form.acceptsCsv ? ['fields', 'json', 'csv', 'file'] : ['fields', 'json', 'file']
    case 'image':
      return ['file']
    case 'text':
      return ['fields', 'json']
    default:
      return ['json', 'plain', 'file']
  }
}

/** A draft with the example of the model. */
export function newDraft({ form, inputs }: ModelDescription): Draft<never> {
  return {
    mode: modesOf(form)[0] ?? 'json',
    tensors: form.kind === 'tensors' ? inputs.map(initialValue) : [],
    variant: 0,
    texts: new Map(),
    json: undefined,
    csv: undefined,
    plain: '',
    file: undefined,
  }
}

/** Name of a file in the shown code until the user has chosen one. */
const SAMPLE_FILES: Readonly<Record<RequestForm['kind'], string>> = {
  tensors: 'data.npy',
  image: 'image.jpg',
  text: 'request.json',
  free: 'body.bin',
}

/**
 * The body of the request; `undefined` while the fields do not have one.
 */
export function bodyOf(draft: Draft, description: ModelDescription): RequestBody | undefined {
  switch (draft.mode) {
    case 'fields': {
      const text = fieldsJson(draft, description)
      return text === undefined ? undefined : { kind: 'json', text }
    }
    case 'json':
      return { kind: 'json', text: jsonText(draft, description) }
    case 'csv':
      return { kind: 'text', text: csvText(draft, description), type: 'text/csv' }
    case 'plain':
      return { kind: 'text', text: draft.plain, type: 'text/plain' }
    case 'file': {
      const name = draft.file?.name ?? sampleFile(description.form)
      return { kind: 'file', name, type: fileType(name) }
    }
  }
}

function sampleFile(form: RequestForm): string {
  return form.kind === 'tensors' && form.acceptsCsv ? 'data.csv' : SAMPLE_FILES[form.kind]
}

/** The fields as JSON; `undefined` if the JSON of a tensor is not valid. */
function fieldsJson(draft: Draft, { form, inputs }: ModelDescription): string | undefined {
  if (form.kind === 'text') {
    const variant = form.variants[draft.variant]
    return variant === undefined ? undefined : textBody(variant, draft.texts)
  }
  try {
    return tensorBody(inputs, draft.tensors)
  } catch (error) {
    if (error instanceof JsonProblem) return undefined
    throw error
  }
}

/** The text of the field for JSON: that of the user, or the fields as JSON. */
export function jsonText(draft: Draft, description: ModelDescription): string {
  if (draft.json !== undefined) return draft.json
  if (description.form.kind === 'free') return '{}'
  const text = fieldsJson(draft, description)
  return text === undefined ? '' : layOut(parseExact(text))
}

/** A longer text is not checked at each key; the server checks it. */
const MAX_CHECKED = 100_000

/** What is wrong with the JSON of the user; `undefined` if nothing is. */
export function jsonProblem(text: string): string | undefined {
  if (text.length > MAX_CHECKED) return undefined
  try {
    parseExact(text)
    return undefined
  } catch (error) {
    if (error instanceof JsonProblem) return error.message
    throw error
  }
}

/** The text of the field for CSV: that of the user, or the names of the columns with the fields. */
export function csvText({ csv, tensors }: Draft, { form, inputs }: ModelDescription): string {
  if (csv !== undefined) return csv
  const columns = form.kind === 'tensors' ? form.columns : undefined
  const grids = tensors.map((value) => (value.kind === 'grid' ? value.rows : []))
  const rows = inputs.length === 1 ? (grids[0] ?? []) : [grids.map(([row]) => row?.[0] ?? '')]
  const header = columns === undefined ? [] : [columns]
  return [...header, ...rows].map((row) => `${row.map(csvField).join(',')}\n`).join('')
}

function csvField(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
