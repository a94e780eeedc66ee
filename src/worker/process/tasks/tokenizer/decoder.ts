import { messageOf } from '../../../../errors.ts'
import { isFields } from '../json-fields.ts'
import { SequenceDecoder } from './library.ts'
import { unsupported } from './unsupported.ts'

/** @throws ServerError `InvalidModelException` for a decoder that is not supported. */
export function createDecoder(value: unknown): (tokens: readonly string[]) => string {
  if (!isFields(value)) return (tokens) => tokens.join(' ')
  const type = typeof value['type'] === 'string' ? value['type'] : ''
  try {
    // A sequence of one: the library exports no function that creates any decoder.
    const decoder = new SequenceDecoder({ type: 'Sequence', decoders: [{ ...value, type }] })
    return (tokens) => decoder.decode([...tokens])
  } catch (error) {
    throw unsupported(`the decoder ${JSON.stringify(type)} (${messageOf(error, 200)})`)
  }
}
