import { lstatSync } from 'node:fs'
import { isSameState, stateOf } from '../../contract/shared-weights.ts'
import type { SharedWeights } from '../../contract/shared-weights.ts'

/** Whether both files still are those that were checked. */
export function isPresent({ model, weights }: SharedWeights): boolean {
  return [model, weights].every(({ path: file, state }) => {
    const found = lstatSync(file, { bigint: true, throwIfNoEntry: false })
    return found !== undefined && isSameState(state, stateOf(found))
  })
}
