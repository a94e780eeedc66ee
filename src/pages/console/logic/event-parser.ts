const DATA = 'data: '

/** Splits a stream of server-sent events into their data. Other fields are not used. */
export class EventParser {
  #rest = ''

  /** Takes the next piece of text and returns the data of the events that are complete. */
  push(text: string): string[] {
    const blocks = (this.#rest + text).split('\n\n')
    this.#rest = blocks.pop() ?? ''
    return blocks.map(dataOf).filter((data) => data !== '')
  }
}

function dataOf(block: string): string {
  return block
    .split('\n')
    .filter((line) => line.startsWith(DATA))
    .map((line) => line.slice(DATA.length))
    .join('\n')
}
