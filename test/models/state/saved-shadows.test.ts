import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { Registry } from '../../../src/models/registry.ts'
import { SavedShadows } from '../../../src/models/state/saved-shadows.ts'
import type { StoredShadow } from '../../../src/models/state/state-format.ts'

const stored = (name: string, version: string): StoredShadow => ({ name, shadow: { version } })

/** Models whose version 2 is missing cannot have it as a shadow. */
class FakeShadows {
  readonly all: StoredShadow[] = []

  set(name: string, shadow: StoredShadow['shadow']): Promise<void> {
    if (shadow.version === '2') return Promise.reject(new Error('version 2 does not exist'))
    this.all.push({ name, shadow })
    return Promise.resolve()
  }
}

test('a shadow whose version is not loaded waits for the next start, unless it is replaced', async () => {
  const shadows = new FakeShadows()
  const registry = { shadows } as unknown as Registry
  const saved = new SavedShadows(registry, pino({ level: 'silent' }))
  saved.read([stored('a', '1'), stored('b', '2'), stored('c', '2')])
  await saved.restore()
  assert.deepEqual(shadows.all, [stored('a', '1')])
  assert.deepEqual(saved.all, [stored('a', '1'), stored('b', '2'), stored('c', '2')])
  await shadows.set('b', { version: '3' })
  assert.deepEqual(saved.all, [stored('a', '1'), stored('b', '3'), stored('c', '2')])
  const undo = saved.forget('c')
  assert.deepEqual(saved.all, [stored('a', '1'), stored('b', '3')])
  undo()
  assert.deepEqual(saved.all.at(-1), stored('c', '2'))
})
