/** Which requests fit into one run. */
import type { Run } from '../codec.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { rowsOf } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** A request with its place in the frame and the first dimension of all its inputs. */
export interface Member {
  readonly position: number
  readonly request: Run
  readonly rows: number
}

/** Requests that fit into one run, and the positions of those that fit no other. */
export interface Sorted {
  readonly groups: readonly (readonly Member[])[]
  readonly single: readonly number[]
}

export function sortOut(requests: readonly Run[], specs: readonly TensorSpec[]): Sorted {
  const byShape = new Map<string, Member[]>()
  const single: number[] = []
  for (const [position, request] of requests.entries()) {
    const rows = commonRows(request.inputs)
    if (rows === undefined || !hasOneSizePerName(specs, request.inputs)) {
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

/** The first dimension that all inputs share; `undefined` when they differ, or have no elements to join. */
function commonRows(inputs: readonly Tensor[]): number | undefined {
  const [first] = inputs
  const rows = first && rowsOf(first)
  const isJoinable = inputs.every((input) => rowsOf(input) === rows && input.data.length > 0)
  return isJoinable ? rows : undefined
}

/** The proof takes dimensions of one name for equal, as the model's author said; a request may differ. */
function hasOneSizePerName(specs: readonly TensorSpec[], inputs: readonly Tensor[]): boolean {
  const sizes = new Map<string, number | undefined>()
  for (const [index, { dimensions }] of specs.entries()) {
    for (let axis = 1; axis < dimensions.length; axis++) {
      const name = dimensions[axis]
      if (typeof name !== 'string' || !isName(name)) continue
      const size = inputs[index]?.shape[axis]
      if (sizes.has(name) && sizes.get(name) !== size) return false
      sizes.set(name, size)
    }
  }
  return true
}

/** A name that some exporters give to every dimension that they know nothing of. */
const UNKNOWN_DIMENSION = '?'

/** Whether a dimension has a name of its own. */
export function isName(dimension: number | string): boolean {
  return typeof dimension === 'string' && dimension !== '' && dimension !== UNKNOWN_DIMENSION
}
