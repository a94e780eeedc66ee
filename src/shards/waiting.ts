/** Callers that wait until a condition holds. */
export class Waiting {
  readonly #checks = new Set<() => void>()

  /** Checks all conditions. To be called after each change of what they depend on. */
  check(): void {
    const checks = [...this.#checks]
    for (const check of checks) check()
  }

  /** Resolves when the condition holds at a check, or now. */
  until(isDone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!isDone()) return
        this.#checks.delete(check)
        resolve()
      }
      this.#checks.add(check)
      check()
    })
  }
}
