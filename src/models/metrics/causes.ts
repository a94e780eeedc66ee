/** Why a worker was replaced. The causes are few and fixed, because they are label values. */
export type RestartCause = 'exit' | 'signal' | 'memory' | 'timeout' | 'protocol' | 'load' | 'other'

/** Why a model that loads on demand was unloaded: for another model, or because it was not used. */
export type EvictionCause = 'memory' | 'idle'

/** Why a request was not run, or its response not read. */
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
  ['timeout', /^did not respond within /],
  ['protocol', /^violated the worker protocol/],
]

/**
 * Maps the end of a worker, as `exited` describes it ("was killed by SIGSEGV"), to a cause. Memory
 * is tested first, because an operator can change that.
 */
export function restartCause(text: string, hasLoaded: boolean): RestartCause {
  if (/\bmemory\b/.test(text)) return 'memory'
  if (!hasLoaded) return 'load'
  return CAUSES.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}
