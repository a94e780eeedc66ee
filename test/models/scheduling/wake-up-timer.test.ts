import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WakeUpTimer } from '../../../src/models/scheduling/wake-up-timer.ts'
import { until } from '../../helpers/until.ts'

/** Milliseconds from the setting of a wake-up timer to its call. */
function elapsed(delayMs: number): Promise<number> {
  return new Promise((resolve) => {
    const started = performance.now()
    const timer = new WakeUpTimer(() => resolve(performance.now() - started))
    timer.set(started + delayMs)
    // Only a pending timer of somebody else keeps a process alive.
    const keepAlive = setInterval(() => {}, 1000)
    void Promise.resolve().then(() => setTimeout(() => clearInterval(keepAlive), delayMs + 100))
  })
}

test('C15: a wake-up timer never fires early, and keeps times that a timer would round up', async () => {
  for (const delayMs of [0, 0.1, 0.25, 0.9, 1, 2.5, 20]) {
    const times: number[] = []
    for (let round = 0; round < 20; round += 1) times.push(await elapsed(delayMs))
    const least = Math.min(...times)
    assert.ok(least >= delayMs, `${delayMs}: ${least}`)
    // The best of many, so that a busy machine does not matter.
    if (delayMs < 0.5) assert.ok(least < 0.9, `${delayMs}: ${least}`)
  }
})

test('C15: a wake-up timer that is set earlier fires earlier, and one that is stopped does not', async () => {
  const fires: string[] = []
  const first = new WakeUpTimer(() => fires.push('first'))
  const stopped = new WakeUpTimer(() => fires.push('stopped'))
  const now = performance.now()
  first.set(now + 60_000)
  first.set(now + 0.2)
  first.set(now + 30_000)
  stopped.set(now + 0.2)
  stopped.stop()
  await elapsed(20)
  assert.deepEqual(fires, ['first'])
  // It can be set again after a ring and after a stop.
  first.set(performance.now() + 1)
  stopped.set(performance.now() + 0.1)
  await until('both fired again', () => fires.length >= 3)
  assert.deepEqual(fires.toSorted(), ['first', 'first', 'stopped'])
})
