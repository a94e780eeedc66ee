import type { Batcher } from '../../onnx/batching/batcher.ts'
import type { Run } from '../../onnx/codec.ts'
import type { Tensor } from '../../onnx/tensors/tensor.ts'

/** Runs the requests of a batch together, when each of them has its inputs or has failed. */
export class SharedRun {
  readonly #batcher: Batcher
  readonly #runs: Run[] = []
  readonly #begun: Promise<void>
  #begin: () => void = () => {}
  #outcomes: ReturnType<Batcher['run']> = []
  #missing: number
  /** Milliseconds that the run took. */
  runMs = 0

  /** @param count Number of the requests. */
  constructor(batcher: Batcher, count: number) {
    this.#batcher = batcher
    this.#missing = count
    this.#begun = new Promise((resolve) => (this.#begin = resolve))
  }

  /**
   * Resolves with the outputs of this request.
   * @throws ServerError of its run.
   */
  async run(run: Run): Promise<readonly Tensor[]> {
    const position = this.#runs.push(run) - 1
    await this.arrive()
    const outcome = this.#outcomes[position]
    if (outcome === undefined || outcome instanceof Error) throw outcome ?? new TypeError('no run')
    return outcome
  }

  /** For a request without a run: resolves when the run is over. */
  arrive(): Promise<void> {
    this.#missing -= 1
    if (this.#missing === 0) {
      const startedAt = performance.now()
      this.#outcomes = this.#batcher.run(this.#runs)
      this.runMs = performance.now() - startedAt
      this.#begin()
    }
    return this.#begun
  }
}
