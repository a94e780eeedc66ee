const TRACEBACK = 'Traceback (most recent call last):'

/**
 * The error at the end of the last traceback that a Python worker printed. The originals close the
 * connection when a model cannot be loaded; only this says why.
 */
export class LastWords {
  /** For example `ModuleNotFoundError: No module named 'scipy'`. */
  text: string | undefined
  #isInTraceback = false

  /** Looks at the next line of output. */
  note(line: string): void {
    if (line === TRACEBACK) this.#isInTraceback = true
    // The frames of a traceback are indented, the error is not.
    else if (this.#isInTraceback && !/^\s/.test(line)) {
      this.#isInTraceback = false
      this.text = line
    }
  }
}
