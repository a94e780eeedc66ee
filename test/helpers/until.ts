/** Waits for something that no event tells of. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'

/** Waits until `isTrue`; fails after `ms` and says what it waited for. */
export async function until(what: string, isTrue: () => boolean, ms = 30_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!isTrue()) {
    if (performance.now() > deadline) assert.fail(`waited ${ms} ms until ${what}`)
    await delay(2)
  }
}
