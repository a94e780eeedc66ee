/** Resolves when `event` settles, or after `ms` milliseconds. */
export async function waitAtMost(ms: number, event: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([event, isLate])
  clearTimeout(timer)
}
