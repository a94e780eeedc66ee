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

/** The outputs of one request, or the error of its run. */
export type RequestOutcome = readonly Tensor[] | Error

/** Runs a model, as `OnnxSession` does. */
export interface Runner {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  run(inputs: readonly Tensor[], outputNames: readonly string[]): readonly Tensor[]
}

/**
 * Runs the requests of a frame. Requests whose tensors agree in all dimensions but the first share
 * one run, if the verdict on the model allows it. When a shared run fails, each request runs alone,
 * so that only the request that causes the error gets it.
 */
export class Batcher {
  readonly #runner: Runner
  #verdict: BatchVerdict
  /**
   * Whether the first group must be run alone and together, and compared, before any requests share
   * a run.
   */
  #needsTrial: boolean

  constructor(runner: Runner, verdict: BatchVerdict) {
    this.#runner = runner
    this.#verdict = verdict
    this.#needsTrial = verdict.needsTrial
  }

  /** Whether requests share runs, as far as it is known now. */
  get verdict(): BatchVerdict {
    return this.#verdict
  }

  /** Returns one outcome for each request, in their order. Never throws. */
  run(requests: readonly Run[]): readonly RequestOutcome[] {
    const outcomes: RequestOutcome[] = []
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

  #runGroup(group: readonly Member[]): readonly RequestOutcome[] {
    if (this.#verdict.joins && this.#needsTrial) this.#try(group)
    const mayJoin = this.#verdict.joins && !this.#needsTrial
    const joined = mayJoin ? this.#runJoined(group) : undefined
    if (joined !== undefined && !(joined instanceof Error)) return joined
    const outcomes: RequestOutcome[] = []
    for (const { request } of group) outcomes.push(this.#runAlone(request))
    const isModelToBlame = joined instanceof Error && !isMemoryError(joined)
    if (isModelToBlame && outcomes.every((outcome) => Array.isArray(outcome))) {
      this.#giveUp('A joined run failed, but each of its requests succeeded alone.')
    }
    return outcomes
  }

  /**
   * Compares all outputs, also those that the request does not ask for: the verdict applies to the
   * whole model.
   */
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
          ? `The trial of a joined run failed: ${difference.failure}`
          : `In the trial, output ${quote(names[difference.output] ?? '')} of a joined run differed from that of single runs.`,
      )
    } catch {
      // The request fails even when it runs alone, which says nothing about shared runs: the next
      // group is tried.
    }
  }

  #giveUp(reason: string): void {
    this.#verdict = { joins: false, reason, needsTrial: false }
    console.log(`Requests are no longer joined into one run: ${reason}`)
  }

  /** Returns the outputs of every member, or the error of the shared run. */
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
      return new TypeError('the batch dimension of an output differs from that of the inputs')
    }
    const outputs = outcome.map((output) => splitRows(output, rows))
    return group.map((_, member) => outputs.flatMap((pieces) => pieces.slice(member, member + 1)))
  }

  #runAlone({ inputs, outputNames }: Run): RequestOutcome {
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
