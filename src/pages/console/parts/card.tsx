import type { ComponentChildren, JSX } from 'preact'

interface CardProps {
  readonly title: ComponentChildren
  /** Controls or links beside the title. */
  readonly aside?: ComponentChildren
  /** Whether the content touches the edges, as a table does. */
  readonly isFlush?: boolean
  readonly children: ComponentChildren
}

/** A part of a view with a title. */
export function Card({ title, aside, isFlush = false, children }: CardProps): JSX.Element {
  return (
    <section class="card">
      <div class="card-head">
        <h2>{title}</h2>
        {aside !== undefined && <span class="push row">{aside}</span>}
      </div>
      {isFlush ? children : <div class="card-body stack">{children}</div>}
    </section>
  )
}
