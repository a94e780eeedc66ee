import { ServerError } from '../../../errors.ts'
import { isBatchModel } from './batch-check.ts'
import type { Run } from './codec.ts'
import { joinRows, rowsOf, splitRows } from './rows.ts'
import type { Tensor } from './tensor.ts'

/** Outputs of one request, or what its run failed with. */
export type Outcome = readonly Tensor[] | Error

/** Runs a network, as `OnnxSession` does. */
export interface Runner {
  run(inputs: readonly Tensor[], outputNames: readonly string[]): readonly Tensor[]
}

/** A request with its place in the frame and the first dimension of all its inputs. */
interface Member {
  readonly position: number
  readonly request: Run
  readonly rows: number
}

/**
 * Runs the requests of a frame. Those whose tensors agree in all dimensions but the first share one run, if the
 * model takes its first dimension as a batch. Where a shared run fails each member runs alone, so that only the
 * bad one gets the error.
 */
export class Batcher {
  readonly #runner: Runner
  /** Whether the model takes its first dimension as a batch. The first group that comes settles it. */
  #joins: 'no' | 'yes' | 'unknown'

  /** `mayJoin`: the first dimensions of all inputs and outputs are symbolic. */
  constructor(runner: Runner, mayJoin: boolean) {
    this.#runner = runner
    this.#joins = mayJoin ? 'unknown' : 'no'
  }

  /** One outcome for each request, in their order. Never throws. */
  run(requests: readonly Run[]): readonly Outcome[] {
    const outcomes: Outcome[] = []
    const isJoinable = this.#joins !== 'no' && requests.length > 1
    const { groups, single } = isJoinable
      ? sortOut(requests)
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
    if (this.#joins === 'unknown') this.#learn(group)
    const joined = this.#joins === 'yes' ? this.#runJoined(group) : undefined
    if (joined !== undefined && !(joined instanceof Error)) return joined
    const outcomes: Outcome[] = []
    for (const { request } of group) outcomes.push(this.#runAlone(request))
    const isModelToBlame = joined instanceof Error && !isMemoryError(joined)
    if (isModelToBlame && outcomes.every((outcome) => Array.isArray(outcome))) this.#joins = 'no'
    return outcomes
  }

  #learn([first]: readonly Member[]): void {
    if (first === undefined) return
    const { inputs, outputNames } = first.request
    const run = (tensors: readonly Tensor[]): readonly Tensor[] =>
      this.#runner.run(tensors, outputNames)
    try {
      this.#joins = isBatchModel(run, inputs, first.rows) ? 'yes' : 'no'
    } catch {
      // The request fails by itself, which says nothing about the model: the next group will tell.
    }
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
      return new TypeError('an output does not have the rows of the inputs')
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

/** Requests that fit into one run, and the positions of those that fit no other. */
function sortOut(requests: readonly Run[]): {
  groups: readonly (readonly Member[])[]
  single: readonly number[]
} {
  const byShape = new Map<string, Member[]>()
  const single: number[] = []
  for (const [position, request] of requests.entries()) {
    const rows = commonRows(request.inputs)
    if (rows === undefined) {
      single.push(position)
      continue
    }
    const key = shapeKey(request)
    const group = byShape.get(key)
    if (group === undefined) byShape.set(key, [{ position, request, rows }])
    else group.push({ position, request, rows })
  }
  const groups = [...byShape.values()]
  for (const [only, ...others] of groups) {
    if (only !== undefined && others.length === 0) single.push(only.position)
  }
  return { groups: groups.filter((group) => group.length > 1), single }
}

/** What must be equal to share a run. Datatypes are: they are the model's. */
function shapeKey({ inputs, outputNames }: Run): string {
  let key = ''
  for (const { shape } of inputs) {
    for (let axis = 1; axis < shape.length; axis++) key += `${shape[axis]},`
    key += ';'
  }
  for (const name of outputNames) key += `${name.length}${name}`
  return key
}

/** The first dimension that all inputs share; `undefined` when they differ, or have no rows to join. */
function commonRows(inputs: readonly Tensor[]): number | undefined {
  const [first, ...others] = inputs
  const rows = first && rowsOf(first)
  if (rows === undefined || rows === 0) return undefined
  return others.every((input) => rowsOf(input) === rows) ? rows : undefined
}

function isMemoryError(error: Error): boolean {
  return error instanceof ServerError && error.type === 'InsufficientMemoryException'
}
