/**
 * Text for a line of its own. A name, id or argument with a line break in it would print another line
 * of its choice, for example a `[PID]`, which the front-end believes.
 */
export function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n\u2028\u2029]+\s*/g, ' ')
}
