/**
 * Joins the lines of a text into one line. A name, id or argument with a line break could otherwise
 * print its own line, for example a `[PID]` line, which the front-end would trust.
 */
export function joinLines(text: string): string {
  const lines = text.split(/[\r\n\u2028\u2029]+/)
  if (lines.length === 1) return text
  const last = lines.length - 1
  const trimmed = lines.map((line, index) => {
    const start = index === 0 ? line : line.trimStart()
    return index === last ? start : start.trimEnd()
  })
  return trimmed.filter((line, index) => line !== '' || index === 0 || index === last).join(' ')
}
