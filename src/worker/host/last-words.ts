const TRACEBACK = 'Traceback (most recent call last):'
/** Between two tracebacks that belong together. */
const LINK = /^(?:During handling of the above exception|The above exception was the direct cause)/

/**
 * The errors at the end of the last tracebacks that a Python worker printed. The originals close the
 * connection when a model cannot be loaded; only this says why.
 */
export class LastWords {
  #errors: string[] = []
  #isInTraceback = false
  #isLinked = false

  /** For example `ModuleNotFoundError: No module named 'scipy'`; the cause comes first where there are several. */
  get text(): string | undefined {
    return this.#errors.length === 0 ? undefined : this.#errors.join('; then ')
  }

  /** Looks at the next line of output. */
  note(line: string): void {
    if (LINK.test(line)) this.#isLinked = true
    if (line === TRACEBACK) {
      if (!this.#isLinked) this.#errors = []
      this.#isLinked = false
      this.#isInTraceback = true
    } else if (this.#isInTraceback && !/^\s/.test(line)) {
      // The frames of a traceback are indented, the error is not.
      this.#isInTraceback = false
      this.#errors.push(line)
    }
  }
}
