/** Chooses the content type of the response to images from the header `Accept`. */
import { ServerError } from '../../../../errors.ts'
import { preference } from '../headers.ts'
import { quote } from '../tensors/error-text.ts'

/** What a task can respond with. */
export type TaskType = 'application/json' | 'text/csv' | 'image/png' | 'image/jpeg'
/** The output tensors of the model, without its task. */
export type TensorType = 'application/octet-stream' | 'application/x-npy'

const TENSOR_TYPES: readonly TensorType[] = ['application/octet-stream', 'application/x-npy']
/** A client that names one of these, and not JSON, has no use for JSON. */
const SPECIFIC = /^(?:image\/|text\/csv$|application\/(?:x-ndjson|jsonl|jsonlines|x-npy|x-npz)$)/

/**
 * Returns the preferred type, by quality. With equal quality, a named type wins over a wildcard,
 * and JSON wins over the others. A wildcard never asks for CSV or tensors. Types that no model
 * responds with do not matter.
 * @param offered The types besides JSON, the best first.
 * @throws ServerError 406 for an image or a table that the model does not respond with.
 */
export function chooseType(accept: string, offered: readonly TaskType[]): TaskType | TensorType {
  if (accept === '' || accept === '*/*') return 'application/json'
  let best: TaskType | TensorType = 'application/json'
  let chosen = preference(accept, best)
  for (const type of [...offered, ...TENSOR_TYPES]) {
    const own = preference(accept, type)
    const mayChoose = own.quality > 0 && (own.isNamed || type.startsWith('image/'))
    const isEqual = own.quality === chosen.quality && own.isNamed && !chosen.isNamed
    if (!mayChoose || !(own.quality > chosen.quality || isEqual)) continue
    best = type
    chosen = own
  }
  if (chosen.quality === 0 && asksForOther(accept)) throw notAcceptable(accept, offered)
  return best
}

function asksForOther(accept: string): boolean {
  return accept.split(',').some((part) => {
    const [range = ''] = part.toLowerCase().split(';', 1)
    return SPECIFIC.test(range.trim()) && preference(accept, range.trim()).quality > 0
  })
}

function notAcceptable(accept: string, offered: readonly TaskType[]): ServerError {
  const types = ['application/json', ...offered, ...TENSOR_TYPES]
  const list = `${types.slice(0, -1).join(', ')} or ${types.at(-1)}`
  return new ServerError(
    'InvalidInputException',
    `The model cannot respond to images with ${quote(accept)}; accept ${list}.`,
    { statusCode: 406 },
  )
}
