import type { ComponentChildren, JSX } from 'preact'

/** What a status means to the reader. */
export type Tone = 'good' | 'info' | 'warning' | 'bad' | 'neutral'

/** A status: a text, with a colour and a mark that only repeat it. */
export function Status({
  tone,
  children,
}: {
  tone: Tone
  children: ComponentChildren
}): JSX.Element {
  return <span class={`status ${tone}`}>{children}</span>
}
