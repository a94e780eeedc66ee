import process from 'node:process'

/** The same signal again within this time comes from the same Ctrl-C. */
const REPEAT_MS = 500

type StopSignal = 'SIGINT' | 'SIGTERM'

/**
 * Calls `onFirst` for the first SIGINT or SIGTERM and `onFurther` for each later one. A Ctrl-C
 * arrives twice: from the terminal, and from npm or npx, which pass it on. The second is dropped.
 */
export function watchStopSignals(
  onFirst: (signal: StopSignal) => void,
  onFurther: () => void,
): void {
  const lastAt = new Map<StopSignal, number>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      const isFirst = lastAt.size === 0
      const now = performance.now()
      const isRepeat = now - (lastAt.get(signal) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS
      lastAt.set(signal, now)
      if (isRepeat) return
      if (isFirst) onFirst(signal)
      else onFurther()
    })
  }
}
