const TRACEBACK = 'Traceback (most recent call last):'
/** Line between two tracebacks of the same failure. */
const LINK = /^(?:During handling of the above exception|The above exception was the direct cause)/

/**
 * Collects the error lines of the last tracebacks that a Python worker printed. The workers of MMS
 * and TorchServe close the connection when they cannot load a model; only these lines say why.
 */
export class TracebackErrors {
  #errors: string[] = []
  #isInTraceback = false
  #isLinked = false

  /**
   * For example `ModuleNotFoundError: No module named 'scipy'`. Linked errors are joined, the first
   * cause first. `undefined` when no traceback was printed.
   */
  get text(): string | undefined {
    return this.#errors.length === 0 ? undefined : this.#errors.join('; then ')
  }

  /** Reads the next line of the worker's output. */
  note(line: string): void {
    if (LINK.test(line)) this.#isLinked = true
    if (line === TRACEBACK) {
      if (!this.#isLinked) this.#errors = []
      this.#isLinked = false
      this.#isInTraceback = true
    } else if (this.#isInTraceback && !/^\s/.test(line)) {
      // The frames of a traceback are indented; the error line is not.
      this.#isInTraceback = false
      this.#errors.push(line)
    }
  }
}
