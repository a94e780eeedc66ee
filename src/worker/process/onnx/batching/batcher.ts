import { ServerError } from '../../../../errors.ts'
import type { Run } from '../codec.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { joinRows, rowsOf, splitRows } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { sortOut } from './groups.ts'
import type { Member } from './groups.ts'
import { findDifference } from './trial.ts'
import type { BatchVerdict } from './verdict.ts'

/** Outputs of one request, or what its run failed with. */
export type Outcome = readonly Tensor[] | Error

/** Runs a graph, as `OnnxSession` does. */
export interface Runner {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  run(inputs: readonly Tensor[], outputNames: readonly string[]): readonly Tensor[]
}

/**
 * Runs the requests of a frame. Those whose tensors agree in all dimensions but the first share one run, if the
 * verdict on the model allows it. Where a shared run fails each member runs alone, so that only the bad one gets
 * the error.
 */
export class Batcher {
  readonly #runner: Runner
  #verdict: BatchVerdict
  /** The first group that comes is tried alone and together before anything is joined. */
  #needsTrial: boolean

  constructor(runner: Runner, verdict: BatchVerdict) {
    this.#runner = runner
    this.#verdict = verdict
    this.#needsTrial = verdict.needsTrial
  }

  /** Whether requests share runs, as known by now. */
  get verdict(): BatchVerdict {
    return this.#verdict
  }

  /** One outcome for each request, in their order. Never throws. */
  run(requests: readonly Run[]): readonly Outcome[] {
    const outcomes: Outcome[] = []
    const isJoinable = this.#verdict.joins && requests.length > 1
    const { groups, single } = isJoinable
      ? sortOut(requests, this.#runner.inputs)
      : { groups: [], single: requests.keys() }
    for (const group of groups) {
      const joined = this.#runGroup(group)
      for (const [index, { position }] of group.entries()) {
        const outcome = joined[index]
        if (outcome !== undefined) outcomes[position] = outcome
      }
    }
    for (const position of single) {
      const request = requests[position]
      if (request !== undefined) outcomes[position] = this.#runAlone(request)
    }
    return outcomes
  }

  #runGroup(group: readonly Member[]): readonly Outcome[] {
    if (this.#verdict.joins && this.#needsTrial) this.#try(group)
    const mayJoin = this.#verdict.joins && !this.#needsTrial
    const joined = mayJoin ? this.#runJoined(group) : undefined
    if (joined !== undefined && !(joined instanceof Error)) return joined
    const outcomes: Outcome[] = []
    for (const { request } of group) outcomes.push(this.#runAlone(request))
    const isModelToBlame = joined instanceof Error && !isMemoryError(joined)
    if (isModelToBlame && outcomes.every((outcome) => Array.isArray(outcome))) {
      this.#giveUp('A joined run failed whose requests succeed alone.')
    }
    return outcomes
  }

  /** All outputs are compared, whichever the request asks for: the verdict is one for the model. */
  #try([first]: readonly Member[]): void {
    if (first === undefined) return
    const names = this.#runner.outputs.map(({ name }) => name)
    try {
      const difference = findDifference(
        (inputs) => this.#runner.run(inputs, names),
        first.request.inputs,
      )
      this.#needsTrial = false
      if (difference === undefined) return
      this.#giveUp(
        'failure' in difference
          ? `A joined run failed when it was tried: ${difference.failure}`
          : `Output ${quote(names[difference.output] ?? '')} was not the same in a joined run when it was tried.`,
      )
    } catch {
      // The request fails by itself, which says nothing about the model: the next group will tell.
    }
  }

  #giveUp(reason: string): void {
    this.#verdict = { joins: false, reason, needsTrial: false }
    console.log(`Requests no longer share runs: ${reason}`)
  }

  /** Outputs of every member, or what the shared run failed with. */
  #runJoined(group: readonly Member[]): readonly (readonly Tensor[])[] | Error {
    const [first] = group
    if (first === undefined) return []
    const { inputs, outputNames } = first.request
    const columns = inputs.map((own, index) =>
      joinRows(group.map(({ request }) => request.inputs[index] ?? own)),
    )
    const outcome = this.#runAlone({ inputs: columns, outputNames })
    if (outcome instanceof Error) return outcome
    const rows = group.map((member) => member.rows)
    const total = rows.reduce((sum, count) => sum + count, 0)
    if (outcome.some((output) => rowsOf(output) !== total)) {
      return new TypeError('an output does not have the samples of the inputs')
    }
    const outputs = outcome.map((output) => splitRows(output, rows))
    return group.map((_, member) => outputs.flatMap((pieces) => pieces.slice(member, member + 1)))
  }

  #runAlone({ inputs, outputNames }: Run): Outcome {
    try {
      return this.#runner.run(inputs, outputNames)
    } catch (error) {
      return error instanceof Error ? error : new TypeError('the run failed', { cause: error })
    }
  }
}

function isMemoryError(error: Error): boolean {
  return error instanceof ServerError && error.type === 'InsufficientMemoryException'
}
