/** Chooses the form of a response from the header `Accept`. */
import { preference } from './headers.ts'

/** Forms that `table-responses` writes: CSV, a list of records, JSON lines, NumPy files. */
export type TableForm = 'csv' | 'records' | 'lines' | 'npy' | 'npz'
export type ResponseForm = 'plain' | 'octets' | TableForm

const JSON_TYPE = 'application/json'
const TYPES: readonly (readonly [type: string, form: ResponseForm])[] = [
  ['application/octet-stream', 'octets'],
  ['text/csv', 'csv'],
  ['application/x-ndjson', 'lines'],
  ['application/jsonl', 'lines'],
  ['application/jsonlines', 'lines'],
  ['application/x-npy', 'npy'],
  ['application/x-npz', 'npz'],
]

/** The header of the last request. Most requests to a model have the same one. */
const last: { accept: string; form: ResponseForm } = { accept: '', form: 'plain' }

/** As {@link preferredForm}. */
export function responseForm(accept: string): ResponseForm {
  if (accept !== last.accept) {
    last.form = preferredForm(accept)
    last.accept = accept
  }
  return last.form
}

/**
 * The preferred form, by quality. With equal quality, a named type wins over a wildcard, and JSON
 * wins over the others. Types that are not known do not matter.
 */
function preferredForm(accept: string): ResponseForm {
  if (accept === '' || accept === '*/*' || accept === JSON_TYPE) return 'plain'
  const wanted = accept.toLowerCase()
  const json = preference(wanted, JSON_TYPE)
  let form: ResponseForm = json.isNamed && asksForRecords(wanted) ? 'records' : 'plain'
  let best = json
  for (const [type, other] of TYPES) {
    if (!wanted.includes(type)) continue
    const own = preference(wanted, type)
    const isBetter = own.quality > best.quality || (own.quality === best.quality && !best.isNamed)
    if (!own.isNamed || own.quality === 0 || !isBetter) continue
    form = other
    best = own
  }
  return form
}

/** Whether a type in the header has a parameter, such as `application/json; orient=records`. */
export function hasParameter(accept: string, type: string, parameter: string): boolean {
  return accept.split(',').some((part) => {
    const [name, ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    return name === type && parameters.some((one) => one.replaceAll(/["\s]/g, '') === parameter)
  })
}

function asksForRecords(accept: string): boolean {
  return accept.includes('orient') && hasParameter(accept, JSON_TYPE, 'orient=records')
}
