import { readFile } from 'node:fs/promises'
import path from 'node:path'

/** Looks words up. A class has a state, a start, and statuses and headers for each request of its own. */
export class Dictionary {
  #words = {}

  /** Once, before the first batch. What it throws fails the load, with its message. */
  async initialize(context) {
    const file = path.join(context.systemProperties.modelDir, 'words.json')
    this.#words = JSON.parse(await readFile(file, 'utf8'))
  }

  /** One answer for each request, in the same order. */
  handle(data, context) {
    return data.map(({ word }, index) => this.#lookUp(word?.toString() ?? '', index, context))
  }

  /** What `GET /models/dictionary` shows as `metadata`. */
  describe() {
    return { inputs: ['word'], size: Object.keys(this.#words).length }
  }

  #lookUp(word, index, context) {
    context.setResponseContentType(index, 'text/plain; charset=utf-8')
    if (word === '') {
      context.setResponseStatus(400, 'No word', index)
      return 'Send a field called word.\n'
    }
    context.metrics.addCounter('Lookups', 1, index)
    // Every object inherits names such as "constructor", so only its own names are words.
    if (!Object.hasOwn(this.#words, word)) {
      context.setResponseStatus(404, 'No such word', index)
      return `${word}: not in this dictionary\n`
    }
    context.setResponseHeader(index, 'x-letters', word.length)
    return `${word}: ${this.#words[word]}\n`
  }
}
