/**
 * The second line of defence behind the proof: a request and others like it run alone and together, and all
 * outputs are compared. A mistake in a rule must not become a wrong response.
 */
import { messageOf } from '../../../../errors.ts'
import { joinRows, rowsOf, splitRows } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { allowanceOf, isClose } from './closeness.ts'
import { variantsOf } from './variants.ts'
import type { Variant } from './variants.ts'

/** Runs a model for all its outputs, in their order. @throws ServerError */
export type RunAll = (inputs: readonly Tensor[]) => readonly Tensor[]

/** More samples say no more, and take longer. */
const MAX_SAMPLES = 2
/** The client of the first request waits meanwhile: a slow model is tried with fewer variants, two at least. */
const BUDGET_MS = 2000

/** A variant with what it gives alone. */
interface Member extends Variant {
  readonly outputs: readonly Tensor[]
}

/** An output that is not the same alone and together, by its index, or why there is none. */
export type Difference = { readonly output: number } | { readonly failure: string }

/**
 * How results of a joined run differ from those of single runs; `undefined` where they do not.
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
