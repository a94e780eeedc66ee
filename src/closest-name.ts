/** Suggests a known name for an unknown one: `initial_workers` for `inital_workers`. */

import { messageOf } from './errors.ts'

/** Longer names are not compared, because the time grows with the square of the length. */
const MAX_CHARACTERS = 64

/**
 * Returns the known name that `name` probably means; `undefined` if none is similar. Ignores case,
 * dashes, underscores, dots and spaces, so `batchSize` is similar to `batch_size`.
 */
export function closestName(name: string, known: readonly string[]): string | undefined {
  const wanted = plain(name)
  if (wanted === '' || wanted.length > MAX_CHARACTERS) return undefined
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate))
    if (distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best ?? known.find((candidate) => hasInCommon(wanted, plain(candidate)))
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.\s]/g, '')
}

/** Whether one name ends with the other: `workers` and `initial_workers`. */
function hasInCommon(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= 4 && (a.endsWith(b) || b.endsWith(a))
}

/**
 * The number of characters to add, remove, replace or swap with their neighbour to turn one text
 * into the other.
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1]
      const costs = [
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      ]
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (row > 1 && column > 1 && isSwapped) costs.push((beforeLast[column - 2] ?? 0) + 1)
      current.push(Math.min(...costs))
    }
    beforeLast = last
    last = current
  }
  return last[b.length] ?? 0
}

/**
 * Returns a sentence that suggests the closest name, with a leading space; empty if none is
 * similar.
 */
export function didYouMean(name: string, known: readonly string[]): string {
  const found = closestName(name, known)
  return found === undefined ? '' : ` Did you mean ${found}?`
}

/**
 * Says what is wrong with a flag, from an error of `parseArgs`. Node's own text about an unknown
 * flag explains only how to write positional arguments.
 * @param names Flags without their dashes.
 */
export function flagProblem(error: unknown, names: readonly string[]): string {
  const text = messageOf(error).replaceAll('\n', ' ')
  const [, unknown] = /^Unknown option '(-[^']*)'/.exec(text) ?? []
  if (unknown !== undefined) {
    const flags = names.map((name) => `--${name}`)
    return `Unknown flag ${unknown}.${didYouMean(unknown, flags)}`
  }
  const [, flag, kind] =
    /^Option '(?:-\w, )?(--[\w-]+).*?'(?: argument)? (missing|is ambiguous|does not take)/.exec(
      text,
    ) ?? []
  if (flag === undefined) return /[.?]$/.test(text) ? text : `${text}.`
  if (kind === 'missing') return `${flag} needs a value.`
  if (kind === 'does not take') return `${flag} takes no value.`
  return `${flag} needs a value. Write one that starts with a dash as ${flag}=VALUE.`
}
