import { ServerError } from '../../../../errors.ts'

/**
 * Returns the error that ends the load: a tokenizer that is read only in part would give wrong
 * token ids.
 */
export function unsupported(what: string): ServerError {
  return new ServerError('InvalidModelException', `tokenizer.json: ${what} is not supported.`)
}

/** Returns the error for a part of the file that contradicts the format. */
export function malformed(what: string): ServerError {
  return new ServerError('InvalidModelException', `tokenizer.json: ${what}.`)
}
