/** What a further HTTP process reports of the versions in rollouts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { RolloutReporter } from '../../../src/models/rollout/reporter.ts'
import type { JudgedVersion, VersionReport } from '../../../src/models/rollout/reporter.ts'

/** Their times are not reported. */
const WARM_UP = 20

/** A version with a metrics object of its own. */
function versionOf(version: string): { version: string; statistics: VersionMetrics } {
  return { version, statistics: new VersionMetrics() }
}

function respond({ statistics }: ReturnType<typeof versionOf>, ms: number, status = 200): void {
  statistics.statuses.count(status)
  statistics.recordResponse(status, { isCold: false, timing: { queueMs: 0, workerMs: ms } })
}

function reporterOf(t: TestContext): { reporter: RolloutReporter; sent: VersionReport[] } {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const sent: VersionReport[] = []
  const reporter = new RolloutReporter((reports) => void sent.push(...reports))
  t.after(() => reporter.close())
  return { reporter, sent }
}

const judged = (version: string, id: number, step = 0): JudgedVersion => ({
  name: 'm',
  version,
  id,
  step,
})

test('requests, errors and times since the last report are sent, without the first times', (t) => {
  const { reporter, sent } = reporterOf(t)
  const one = versionOf('1')
  respond(one, 1)
  reporter.watch([judged('1', 7), judged('2', 8)], (_name, version) =>
    version === '1' ? one : undefined,
  )
  for (let count = 0; count < WARM_UP; count += 1) respond(one, 1)
  respond(one, 5)
  respond(one, 6, 503)
  t.mock.timers.tick(250)
  assert.deepEqual(sent.splice(0), [{ name: 'm', id: 7, requests: 22, errors: 1, times: [5] }])
  t.mock.timers.tick(250)
  assert.deepEqual(sent, [], 'there is nothing new')
})

test('a new step begins anew, and nothing is lost or counted twice', (t) => {
  const { reporter, sent } = reporterOf(t)
  const one = versionOf('1')
  const find = (): typeof one => one
  reporter.watch([judged('1', 7)], find)
  for (let count = 0; count <= WARM_UP; count += 1) respond(one, 5)
  reporter.watch([judged('1', 7)], find)
  assert.deepEqual(sent.splice(0), [{ name: 'm', id: 7, requests: 21, errors: 0, times: [5] }])
  respond(one, 6)
  reporter.watch([judged('1', 7, 1)], find)
  assert.deepEqual(sent.splice(0), [{ name: 'm', id: 7, requests: 1, errors: 0, times: [6] }])
  respond(one, 7)
  reporter.watch([], find)
  assert.deepEqual(sent.splice(0), [{ name: 'm', id: 7, requests: 1, errors: 0, times: [] }])
  respond(one, 8)
  t.mock.timers.tick(1000)
  assert.deepEqual([sent, one.statistics.onResponse], [[], undefined])
})

test('many times are sent before the next look', (t) => {
  const { reporter, sent } = reporterOf(t)
  const one = versionOf('1')
  reporter.watch([judged('1', 7)], () => one)
  for (let count = 0; count < WARM_UP + 1000; count += 1) respond(one, 2)
  assert.deepEqual(
    sent.map(({ requests, times }) => [requests, times.length]),
    [[WARM_UP + 1000, 1000]],
  )
})
