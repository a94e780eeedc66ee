import { ServerError } from '../../../../../errors.ts'
import { quote } from '../../tensors/error-text.ts'

/** Error 400 for bytes that are no valid Parquet file. */
export function damaged(problem: string): ServerError {
  return new ServerError('InvalidInputException', `The Parquet file is damaged: ${problem}.`)
}

/** Error 415 for a valid file that cannot be read. */
export function unsupported(column: string, problem: string, advice: string): ServerError {
  return new ServerError(
    'UnsupportedMediaTypeException',
    `Column ${quote(column)} of the Parquet file ${problem}; ${advice}.`,
  )
}
