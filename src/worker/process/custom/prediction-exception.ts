/** A custom handler throws this error to fail the batch with its own code and message. */
export class PredictionException extends Error {
  override readonly name = 'PredictionException'
  readonly code: number

  constructor(message: string, code = 500) {
    super(message)
    this.code = code
  }
}
