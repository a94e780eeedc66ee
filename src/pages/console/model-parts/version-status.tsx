import type { JSX } from 'preact'
import { Status } from '../../shared/components/status.tsx'
import type { VersionState } from '../logic/live.ts'
import { STATES } from '../logic/version-facts.ts'

/** The state of a model version. */
export function VersionStatus({ state }: { state: VersionState }): JSX.Element {
  const [text, tone] = STATES[state]
  return <Status tone={tone}>{text}</Status>
}
