import type { ComponentChildren, JSX } from 'preact'

interface TileProps {
  readonly label: string
  readonly value: ComponentChildren
  readonly note?: ComponentChildren
  readonly tone?: 'bad' | 'warning' | undefined
}

/** One figure with its name. */
export function Tile({ label, value, note, tone }: TileProps): JSX.Element {
  return (
    <div class={`card tile ${tone ?? ''}`}>
      <dt>{label}</dt>
      <dd>
        <span class="tile-value">{value}</span>
        {note !== undefined && <span class="tile-note">{note}</span>}
      </dd>
    </div>
  )
}

/** Figures beside each other. */
export function Tiles({ children }: { children: ComponentChildren }): JSX.Element {
  return <dl class="tiles">{children}</dl>
}
