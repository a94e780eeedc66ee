/** Keeps the last lines of the log in memory, so that `onnxd logs` can show them. */

/** A line of JSON with its place in the log. */
interface NumberedLine {
  readonly number: number
  readonly text: string
}

/** Lines of requests that are kept, and other lines. Many requests must not displace the others. */
const MAX_LINES = 1000
/** Longer lines are not kept. The stack of an error has some kilobytes. */
const MAX_CHARACTERS = 8192
/** How pino ends the line of a request. */
const REQUEST_END = '"msg":"request"}\n'
/** The status in the line of a request that failed. */
const FAILED_STATUS = /"status":[45]\d\d[,}]/

/** The last lines of the log. */
export class RecentLog {
  #number = 0
  #requests: NumberedLine[] = []
  #others: NumberedLine[] = []

  /** Takes a line of JSON. */
  add(text: string): void {
    this.#number += 1
    if (text.length > MAX_CHARACTERS) return
    const line = { number: this.#number, text }
    if (text.endsWith(REQUEST_END)) this.#requests = appended(this.#requests, line)
    else this.#others = appended(this.#others, line)
  }

  /** Number of the last line. */
  get last(): number {
    return this.#number
  }

  /** Returns the kept lines after a number, oldest first. */
  after(number: number): string[] {
    return textsAfter(number, [...this.#requests, ...this.#others])
  }

  /** As {@link after}, without the lines of requests that succeeded. */
  notableAfter(number: number): string[] {
    const failed = this.#requests.filter(({ text }) => FAILED_STATUS.test(text))
    return textsAfter(number, [...failed, ...this.#others])
  }
}

function textsAfter(number: number, lines: readonly NumberedLine[]): string[] {
  return lines
    .filter((line) => line.number > number)
    .toSorted((one, other) => one.number - other.number)
    .map(({ text }) => text)
}

/** Adds a line. The oldest half is dropped at once, which is cheaper than one for each new line. */
function appended(lines: NumberedLine[], line: NumberedLine): NumberedLine[] {
  lines.push(line)
  return lines.length < 2 * MAX_LINES ? lines : lines.slice(-MAX_LINES)
}
