/**
 * Resolves when `event` resolves, or after `ms` milliseconds. Rejects if `event` rejects before.
 */
export async function waitAtMost(ms: number, event: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([event, isLate])
  clearTimeout(timer)
}
