/** The limits of a server, divided among its HTTP processes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { completeConfig } from '../../src/config/config.ts'
import { canReusePort } from '../../src/shards/reuse-port.ts'
import { checkSettings, settingsFor } from '../../src/shards/shared-limits.ts'
import { partOf } from '../../src/share.ts'

test('the parts of a number are its sum, and each process has at least one', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.integer({ min: 1, max: 64 }), (total, count) => {
      const parts = Array.from({ length: count }, (_, index) => partOf(total, { index, count }))
      const sum = parts.reduce((one, other) => one + other, 0)
      assert.equal(sum, total === 0 ? 0 : Math.max(total, count))
      assert.ok(Math.max(...parts) - Math.min(...parts) <= 1)
    }),
  )
})

test('each process has its part of the limits and its own recording', () => {
  const config = completeConfig({
    queueSize: 5,
    maxConnections: 100,
    rateLimit: 3,
    memoryBudgetMib: 65,
    spareWorkers: 1,
    record: '/r.rec',
  })
  const [first, second] = [0, 1].map((index) => settingsFor(config, { index, count: 2 }))
  const limits = ({ queueSize, maxConnections, rateLimit, memoryBudgetMib }: typeof config) => [
    queueSize,
    maxConnections,
    rateLimit,
    memoryBudgetMib,
  ]
  assert.ok(first !== undefined && second !== undefined)
  assert.deepEqual(limits(first), [3, 50, 2, 33])
  assert.deepEqual(limits(second), [2, 50, 1, 32])
  assert.deepEqual([first.spareWorkers, second.spareWorkers], [1, 0])
  assert.deepEqual([first.record, second.record], ['/r.rec', '/r.rec.process-1'])
})

test('limits that each process finds itself stay unset, and those of the machine are divided', () => {
  const config = completeConfig({})
  const second = settingsFor(config, { index: 1, count: 2 })
  assert.equal(second.maxConnections, 0)
  assert.equal(second.spareWorkers, 0)
  assert.ok(second.memoryBudgetMib > 0 && second.modelMemoryMib > 0)
})

test('settings that let clients manage models are refused', () => {
  for (const settings of [{ port: 9000, managementPort: 9000 }, { exposeRepository: true }]) {
    assert.throws(() => checkSettings(completeConfig(settings)), { name: 'ConfigError' })
  }
  checkSettings(completeConfig({ port: 0, managementPort: 0 }))
})

test('the port is shared by the kernel where Node can ask for it', () => {
  const versions = ['20.20.2', '22.11.0', '22.12.0', '23.0.1', '23.1.0', '24.0.0']
  const can = versions.map((version) => canReusePort(version, 'linux'))
  assert.deepEqual(can, [false, false, true, false, true, true])
  assert.equal(canReusePort('24.0.0', 'darwin'), false)
})
