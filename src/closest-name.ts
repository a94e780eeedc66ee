/**
 * The name that was probably meant; `undefined` where none is near. Case and separators do not count, and one letter
 * in three may be wrong.
 */
export function closestName(name: string, names: readonly string[]): string | undefined {
  const wanted = lettersOf(name)
  let best: string | undefined
  let bestDistance = Math.floor(wanted.length / 3) + 1
  for (const candidate of names) {
    const distance = editDistance(wanted, lettersOf(candidate))
    if (distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best
}

/** A sentence with the name that was probably meant, with a space in front; empty where none is near. */
export function didYouMean(name: string, names: readonly string[]): string {
  const found = closestName(name, names)
  return found === undefined ? '' : ` Did you mean ${found}?`
}

/** Names are short; this bounds the work for what is none. */
const MAX_LETTERS = 64

function lettersOf(name: string): string {
  return name
    .slice(0, MAX_LETTERS)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
}

/** How many letters have to be put in, left out or replaced. */
function editDistance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let row = 0; row < one.length; row += 1) {
    const line = [row + 1]
    for (let column = 0; column < other.length; column += 1) {
      const replaced = (above[column] ?? 0) + (one[row] === other[column] ? 0 : 1)
      line.push(Math.min(replaced, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1))
    }
    above = line
  }
  return above.at(-1) ?? 0
}
