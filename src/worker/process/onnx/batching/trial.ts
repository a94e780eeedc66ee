/**
 * The second line of defence behind the proof: a request and others like it run alone and together, and all
 * outputs are compared. A mistake in a rule must not become a wrong response.
 */
import { joinRows, rowsOf, splitRows } from '../rows.ts'
import type { Tensor } from '../tensor.ts'
import { allowanceOf, isClose } from './closeness.ts'
import { variantsOf } from './variants.ts'
import type { Variant } from './variants.ts'

/** Runs a model for all its outputs, in their order. @throws ServerError */
export type RunAll = (inputs: readonly Tensor[]) => readonly Tensor[]

/** More samples say no more and cost a run each. */
const MAX_SAMPLES = 4

/** A variant with what it gives alone. */
interface Member extends Variant {
  readonly outputs: readonly Tensor[]
}

/**
 * Index of an output that is not the same alone and together, or `undefined` where there is none. -1 where the
 * joined run fails.
 * @throws ServerError when the request itself fails, which says nothing about the model.
 */
export function firstDifference(run: RunAll, request: readonly Tensor[]): number | undefined {
  const sample = request.map(firstSamples)
  const members: Member[] = []
  for (const variant of variantsOf(sample)) {
    const outputs = members.length === 0 ? run(sample) : attempt(run, variant.inputs)
    if (outputs !== undefined) members.push({ ...variant, outputs })
  }
  const columns = sample.map((own, index) =>
    joinRows(members.map(({ inputs }) => inputs[index] ?? own)),
  )
  const together = attempt(run, columns)
  if (together === undefined) return -1
  const samples = sample[0] === undefined ? 0 : (rowsOf(sample[0]) ?? 0)
  const index = together.findIndex(
    (output, position) => !isSame(output, members, { position, samples }),
  )
  return index === -1 ? undefined : index
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
