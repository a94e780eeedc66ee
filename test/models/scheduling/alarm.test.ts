import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Alarm } from '../../../src/models/scheduling/alarm.ts'

/** Milliseconds from the setting of an alarm to its ring. */
function elapsed(delayMs: number): Promise<number> {
  return new Promise((resolve) => {
    const started = performance.now()
    const alarm = new Alarm(() => resolve(performance.now() - started))
    alarm.set(started + delayMs)
    // Only a pending timer of somebody else keeps a process alive.
    const keepAlive = setInterval(() => {}, 1000)
    void Promise.resolve().then(() => setTimeout(() => clearInterval(keepAlive), delayMs + 100))
  })
}

test('C15: an alarm never rings early, and keeps times that a timer would round up', async () => {
  for (const delayMs of [0, 0.1, 0.25, 0.9, 1, 2.5, 20]) {
    const times: number[] = []
    for (let round = 0; round < 20; round += 1) times.push(await elapsed(delayMs))
    const least = Math.min(...times)
    assert.ok(least >= delayMs, `${delayMs}: ${least}`)
    // The best of many, so that a busy machine does not matter.
    if (delayMs < 0.5) assert.ok(least < 0.9, `${delayMs}: ${least}`)
  }
})

test('C15: an alarm that is set earlier rings earlier, and one that is stopped does not', async () => {
  const rings: string[] = []
  const first = new Alarm(() => rings.push('first'))
  const stopped = new Alarm(() => rings.push('stopped'))
  const now = performance.now()
  first.set(now + 60_000)
  first.set(now + 0.2)
  first.set(now + 30_000)
  stopped.set(now + 0.2)
  stopped.stop()
  await elapsed(20)
  assert.deepEqual(rings, ['first'])
  // It can be set again after a ring and after a stop.
  first.set(performance.now() + 1)
  stopped.set(performance.now() + 0.1)
  await elapsed(20)
  assert.deepEqual(rings.toSorted(), ['first', 'first', 'stopped'])
})
