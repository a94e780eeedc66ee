import { notSaved } from './unavailable.ts'

/** Reverts a change. */
export type Undo = () => void

/**
 * Changes of the served models. Each change is either in effect and saved, or neither. They run one
 * after another.
 */
export class Changes {
  /** Settles when the last change is saved or reverted. */
  #last: Promise<unknown> = Promise.resolve()
  /** Saves the state for the next start. */
  save: () => Promise<void> = () => Promise.resolve()

  /** Called after each change. Several HTTP processes serve the same models. */
  onChange: () => void = () => {}

  /** Resolves when all HTTP processes have made the changes that this one has made. */
  whenShared: () => Promise<void> = () => Promise.resolve()

  /**
   * Makes a change and saves it. If saving fails, the change is reverted.
   * @param isSaved False for a change that the start makes itself or has read from the state.
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
    this.onChange()
  }
}
