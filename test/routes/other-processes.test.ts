/** The description of a version that several HTTP processes serve. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VersionDescription } from '../../src/models/describe-version.ts'
import { together } from '../../src/routes/other-processes.ts'

type Status = VersionDescription['status']

function description(status: Status, id: string, queued: number): VersionDescription {
  return {
    status,
    workers: [{ id, status: 'READY', pid: Number(id) }],
    jobQueueStatus: { remainingCapacity: 10 - queued, pendingRequests: queued },
  } as unknown as VersionDescription
}

test('workers and queues of all processes are shown, with ids that are unique', () => {
  const others = new Map([
    [1, description('READY', '1', 2)],
    [2, description('READY', '2', 0)],
  ])
  const { status, workers, jobQueueStatus } = together(description('READY', '1', 1), others)
  assert.equal(status, 'READY')
  assert.deepEqual(
    workers.map(({ id, shard }) => [id, shard]),
    [
      ['1', 0],
      ['1.1', 1],
      ['2.2', 2],
    ],
  )
  assert.deepEqual(jobQueueStatus, { remainingCapacity: 27, pendingRequests: 3 })
})

test('the status is that of all processes', () => {
  const cases: [Status, Status, Status][] = [
    ['READY', 'READY', 'READY'],
    ['UNLOADED', 'READY', 'READY'],
    ['READY', 'UNLOADED', 'READY'],
    ['UNLOADED', 'UNLOADED', 'UNLOADED'],
    ['READY', 'FAILED', 'PARTIAL'],
    ['UNAVAILABLE', 'READY', 'PARTIAL'],
    ['FAILED', 'FAILED', 'FAILED'],
  ]
  for (const [own, other, expected] of cases) {
    const others = new Map([[1, description(other, '1', 0)]])
    assert.equal(together(description(own, '1', 0), others).status, expected, `${own} ${other}`)
  }
  const loading = new Map([[1, 'LOADING' as const]])
  const { status, workers } = together(description('READY', '1', 0), loading)
  assert.deepEqual([status, workers.length], ['PARTIAL', 1])
})
