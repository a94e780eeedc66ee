/** Cuts a text at its spans. */
import type { Span } from './result-view.ts'

/** A part of a text, with its span if it has one. */
export interface TextPart {
  readonly text: string
  readonly span: Span | undefined
}

/**
 * The parts of a text in their order. The server counts code points, as Python does; a string of
 * JavaScript counts UTF-16 units. A span that begins in another one is left out.
 */
export function textParts(text: string, spans: readonly Span[]): TextPart[] {
  const characters = Array.from(text)
  const parts: TextPart[] = []
  let at = 0
  const add = (end: number, span: Span | undefined): void => {
    if (end > at) parts.push({ text: characters.slice(at, end).join(''), span })
    at = Math.max(at, end)
  }
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    if (span.start < at || span.end <= span.start || span.end > characters.length) continue
    add(span.start, undefined)
    add(span.end, span)
  }
  add(characters.length, undefined)
  return parts
}
