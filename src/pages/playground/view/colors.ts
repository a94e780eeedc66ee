/** Colours of classes. They are far apart, and dark text can be read on each of them. */
const COLORS = [
  '#ffb000',
  '#4cc9f0',
  '#7ae582',
  '#ff8fab',
  '#c8a2ff',
  '#ffe45e',
  '#5eead4',
  '#ff9e64',
] as const

/** The colour of a class by its number. */
export function colorOf(index: number): string {
  const length = COLORS.length
  return COLORS[((index % length) + length) % length] ?? COLORS[0]
}
