import { ServerError } from '../../errors.ts'

/** The models that one model has called. */
interface Calls {
  /** The served model when the calls were made. Another one may have other code. */
  readonly by: unknown
  readonly callees: Set<string>
}

/**
 * Which model calls which. Two models that call each other, even for different requests, would wait
 * for each other as soon as all their workers are busy. So a call is rejected if the called model
 * has called the caller before, directly or through others.
 */
export class CallGraph {
  readonly #modelNow: (name: string) => unknown
  readonly #calls = new Map<string, Calls>()

  /** @param modelNow Returns what is served under a name now; `undefined` if nothing is. */
  constructor(modelNow: (name: string) => unknown) {
    this.#modelNow = modelNow
  }

  /**
   * Records a call.
   * @throws ServerError that names the models, if they would call one another in a circle.
   */
  add(caller: string, callee: string): void {
    const callees = this.#calleesOf(caller)
    if (callees?.has(callee) === true) return
    const back = this.#path(callee, caller)
    if (back !== undefined) {
      const text = `Models call one another in a circle: ${[caller, ...back].join(' → ')}.`
      throw new ServerError('InternalServerException', text)
    }
    if (callees !== undefined) callees.add(callee)
    else this.#calls.set(caller, { by: this.#modelNow(caller), callees: new Set([callee]) })
  }

  /** Returns the models on a path from `from` to `to`, or `undefined` if there is no path. */
  #path(from: string, to: string, seen = new Set<string>()): readonly string[] | undefined {
    if (from === to) return [from]
    seen.add(from)
    for (const next of this.#calleesOf(from) ?? []) {
      const rest = seen.has(next) ? undefined : this.#path(next, to, seen)
      if (rest !== undefined) return [from, ...rest]
    }
    return undefined
  }

  /** Forgets the calls of a model that was replaced or unregistered. */
  #calleesOf(caller: string): Set<string> | undefined {
    const calls = this.#calls.get(caller)
    if (calls === undefined || calls.by === this.#modelNow(caller)) return calls?.callees
    this.#calls.delete(caller)
    return undefined
  }
}
