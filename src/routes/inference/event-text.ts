/** Writes the chunks of a response as server-sent events. */
import { StringDecoder } from 'node:string_decoder'
import type { ServerError } from '../../errors.ts'

const LINE_END = /\r\n|\r|\n/

/**
 * One event for each chunk. Events are text: bytes that are not UTF-8 become U+FFFD. A character
 * that is split between two chunks belongs to the second one.
 */
export class EventText {
  readonly #decoder = new StringDecoder('utf8')
  #count = 0

  /** The event of a chunk; empty for a chunk without a character. */
  of(chunk: Buffer): string {
    return this.#event(this.#decoder.write(chunk))
  }

  /** The last events of a response: the end, or why it is not complete. */
  end(error: ServerError | undefined): string {
    const rest = this.#event(this.#decoder.end())
    if (error === undefined) return `${rest}event: end\n${dataOf(`{"events":${this.#count}}`)}`
    return `${rest}event: error\n${dataOf(JSON.stringify(error.toBody()))}`
  }

  #event(text: string): string {
    if (text === '') return ''
    this.#count += 1
    return dataOf(text)
  }
}

/** A line of its own for each line of the text, as the format requires. */
function dataOf(text: string): string {
  const lines = text.split(LINE_END).map((line) => `data: ${line}\n`)
  return `${lines.join('')}\n`
}
