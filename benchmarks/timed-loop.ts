import process from 'node:process'
import type { BareResult } from './bare-loop.ts'

const WARM_UP_RUNS = 20

/** Repeats `step` for some seconds after a warm-up and measures the time of each run. */
export async function timedLoop(seconds: number, step: () => unknown): Promise<BareResult> {
  for (let run = 0; run < WARM_UP_RUNS; run++) await step()
  const times: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + seconds * 1000
  let now = start
  while (now < end) {
    const before = now
    await step()
    now = performance.now()
    times.push(now - before)
  }
  const { user, system } = process.cpuUsage(cpu)
  times.sort((a, b) => a - b)
  return {
    cpuUs: (user + system) / times.length,
    rate: times.length / ((now - start) / 1000),
    p50: times[times.length >> 1] ?? now - start,
  }
}
