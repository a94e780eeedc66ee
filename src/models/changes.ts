import { notSaved } from './unavailable.ts'

/** Takes a change back. */
export type Undo = () => void

/** Changes of what is served. Each is in effect and saved, or neither; one is made after the other. */
export class Changes {
  /** Settles when the last change is saved or undone. */
  #last: Promise<unknown> = Promise.resolve()
  /** Saves what a restart should remember. */
  save: () => Promise<void> = () => Promise.resolve()

  /**
   * Makes a change and saves it. When it cannot be saved it is taken back.
   * @param isSaved False for what the start does by itself, or has read from the state.
   * @throws ServerError `StateNotSavedException`, and whatever `apply` throws.
   */
  make(apply: () => Undo, isSaved = true): Promise<void> {
    const made = this.#last.then(() => this.#makeNow(apply, isSaved))
    this.#last = made.catch(() => {})
    return made
  }

  async #makeNow(apply: () => Undo, isSaved: boolean): Promise<void> {
    const undo = apply()
    try {
      if (isSaved) await this.save()
    } catch (cause) {
      undo()
      throw notSaved(cause)
    }
  }
}
