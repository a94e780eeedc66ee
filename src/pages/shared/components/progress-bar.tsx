import type { JSX } from 'preact'

/** How much of something is done. */
export function ProgressBar({ label, share }: { label: string; share: number }): JSX.Element {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100)
  return (
    <div
      class="bar"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <span style={{ width: `${String(percent)}%` }} />
    </div>
  )
}
