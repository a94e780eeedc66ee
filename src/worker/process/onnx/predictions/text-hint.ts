/** Adds to the errors of a model that takes texts what to send instead of a table. */
import { ServerError } from '../../../../errors.ts'
import { fileFormatOf } from '../../../../formats/file-format.ts'
import type { WireRequest } from '../../../wire/messages.ts'
import type { RequestCodec } from '../codec.ts'
import { contentKind } from './media-type.ts'

const TABLES: ReadonlySet<string> = new Set(['csv', 'lines', 'npz', 'parquet'])
const HINT =
  'The model takes texts: send the column of texts to /predictions as JSON, {"inputs": ["a text", "another text"]}.'

export function withTextHint(codec: RequestCodec): RequestCodec {
  return {
    decode: (request, headers) => {
      if (!isTable(request)) return codec.decode(request, headers)
      const fail = (error: unknown): never => {
        throw hinted(error)
      }
      try {
        const decoded = codec.decode(request, headers)
        return decoded instanceof Promise ? decoded.catch(fail) : decoded
      } catch (error) {
        return fail(error)
      }
    },
  }
}

function isTable({ parameters }: WireRequest): boolean {
  return parameters.some(({ contentType, value }) => {
    return TABLES.has(contentKind(contentType)) || fileFormatOf(value) === 'a Parquet file'
  })
}

function hinted(error: unknown): unknown {
  if (!(error instanceof ServerError)) return error
  const { type, statusCode, message } = error
  return new ServerError(type, `${message} ${HINT}`, { statusCode, cause: error })
}
