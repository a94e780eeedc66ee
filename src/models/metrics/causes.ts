/** Why a worker had to be replaced. Few and fixed: they are label values. */
export type RestartCause = 'exit' | 'signal' | 'memory' | 'timeout' | 'protocol' | 'load' | 'other'

/** Why a request got no run, or no reader. */
export type RejectionReason =
  | 'queue_full'
  | 'no_worker'
  | 'failed'
  | 'expired'
  | 'cancelled'
  | 'crashing'

const CAUSES: readonly [cause: RestartCause, pattern: RegExp][] = [
  ['exit', /^exited with /],
  ['signal', /^was (?:killed|stopped) by /],
  ['timeout', /^did not answer within /],
  ['protocol', /^broke the protocol/],
]

/**
 * Sorts the end of a worker, as `exited` tells it ("was killed by SIGSEGV"), into one of the causes.
 * Memory comes first, because it is what an operator can do something about.
 */
export function restartCause(text: string, hasLoaded: boolean): RestartCause {
  if (/\bmemory\b/.test(text)) return 'memory'
  if (!hasLoaded) return 'load'
  return CAUSES.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}
