import type { ComponentChildren, JSX } from 'preact'
import { ApiError, messageOf } from '../api-error.ts'
import type { Tone } from './status.tsx'

interface NoticeProps {
  readonly tone: Tone
  /** Whether screen readers read it at once. */
  readonly isUrgent?: boolean
  readonly children: ComponentChildren
}

/** A message in the page. */
export function Notice({ tone, isUrgent = false, children }: NoticeProps): JSX.Element {
  return (
    <div class={`notice ${tone}`} role={isUrgent ? 'alert' : undefined}>
      <div>{children}</div>
    </div>
  )
}

/** Why a request failed, with the worker's log lines if there are any. */
export function ErrorNotice({ error }: { error: unknown }): JSX.Element {
  const { type, log } = error instanceof ApiError ? error : { type: '', log: [] }
  return (
    <Notice tone="bad" isUrgent>
      <p>{messageOf(error)}</p>
      {type !== '' && <p class="small dim">{type}</p>}
      {log.length > 0 && <LogLines label="Last log lines of the worker" lines={log} />}
    </Notice>
  )
}

/** Lines of a log, oldest first. The box can be scrolled with the keyboard. */
export function LogLines({
  label,
  lines,
}: {
  label: string
  lines: readonly string[]
}): JSX.Element {
  return (
    <pre class="log-lines" tabIndex={0} role="group" aria-label={label}>
      {lines.join('\n')}
    </pre>
  )
}

/** What is shown in place of a list without entries. */
export function Empty({
  title,
  children,
}: {
  title: string
  children?: ComponentChildren
}): JSX.Element {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}
