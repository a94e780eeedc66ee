/**
 * A second check after the proof: a request and variants of it run alone and together, and all
 * outputs are compared. A mistake in a rule must not cause a wrong response.
 */
import { messageOf } from '../../../../errors.ts'
import { joinRows, rowsOf, splitRows } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { allowanceOf, isClose } from './closeness.ts'
import { variantsOf } from './variants.ts'
import type { Variant } from './variants.ts'

/**
 * Runs a model and returns all its outputs in order.
 * @throws ServerError
 */
export type RunAll = (inputs: readonly Tensor[]) => readonly Tensor[]

/** More samples find no further differences, and take longer. */
const MAX_SAMPLES = 2
/**
 * The client of the first request waits during the trial. A slow model is tried with fewer
 * variants, but at least two.
 */
const BUDGET_MS = 2000

/** A variant with its outputs when it runs alone. */
interface Member extends Variant {
  readonly outputs: readonly Tensor[]
}

/**
 * The index of an output that differs between the joined and the single runs, or the error of the
 * joined run.
 */
export type Difference = { readonly output: number } | { readonly failure: string }

/**
 * Finds how the results of a joined run differ from those of single runs; `undefined` when they are
 * equal.
 * @throws ServerError when the request itself fails, which says nothing about the model.
 */
export function findDifference(run: RunAll, request: readonly Tensor[]): Difference | undefined {
  const started = performance.now()
  const sample = request.map(firstSamples)
  const members: Member[] = []
  for (const variant of variantsOf(sample)) {
    if (members.length > 1 && performance.now() - started > BUDGET_MS) break
    const outputs = members.length === 0 ? run(sample) : attempt(run, variant.inputs)
    if (outputs !== undefined) members.push({ ...variant, outputs })
  }
  const columns = sample.map((own, index) =>
    joinRows(members.map(({ inputs }) => inputs[index] ?? own)),
  )
  let together: readonly Tensor[]
  try {
    together = run(columns)
  } catch (error) {
    return { failure: messageOf(error, 300) }
  }
  const samples = sample[0] === undefined ? 0 : (rowsOf(sample[0]) ?? 0)
  const index = together.findIndex(
    (output, position) => !isSame(output, members, { position, samples }),
  )
  return index === -1 ? undefined : { output: index }
}

function isSame(
  output: Tensor,
  members: readonly Member[],
  { position, samples }: { readonly position: number; readonly samples: number },
): boolean {
  if (rowsOf(output) !== members.length * samples) return false
  const pieces = splitRows(
    output,
    members.map(() => samples),
  )
  const ordinary = members.flatMap((member) => (member.isExtreme ? [] : outputAt(member, position)))
  const allowance = allowanceOf(ordinary)
  return members.every((member, index) => {
    const [expected] = outputAt(member, position)
    const piece = pieces[index]
    if (piece === undefined || expected === undefined) return false
    const allowed = member.isExtreme ? allowanceOf([...ordinary, expected]) : allowance
    return isClose(piece, expected, allowed, member.isExtreme)
  })
}

function outputAt({ outputs }: Member, position: number): readonly Tensor[] {
  return outputs.slice(position, position + 1)
}

function firstSamples(tensor: Tensor): Tensor {
  const samples = rowsOf(tensor) ?? 0
  if (samples <= MAX_SAMPLES) return tensor
  return splitRows(tensor, [MAX_SAMPLES, samples - MAX_SAMPLES])[0] ?? tensor
}

function attempt(run: RunAll, inputs: readonly Tensor[]): readonly Tensor[] | undefined {
  try {
    return run(inputs)
  } catch {
    return undefined
  }
}
