/** The live data of several HTTP processes, added up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addProcesses } from '../../../src/routes/console/live-process.ts'
import type { LiveProcess } from '../../../src/routes/console/live-process.ts'
import type { LiveVersion } from '../../../src/routes/console/version-part.ts'

function version(number: number, more: Partial<LiveVersion> = {}): LiveVersion {
  const histogram = { bounds: [1], cumulative: [number, number + 1], sum: number / 2 }
  return {
    name: 'iris',
    version: '1',
    isDefault: true,
    status: 'READY',
    loadsOnDemand: false,
    minWorkers: 2,
    maxWorkers: 2,
    readyWorkers: 1,
    queued: number,
    queuedBytes: 10 * number,
    running: 1,
    capacity: 1,
    statuses: { '2xx': number },
    rejections: {},
    restarts: { exit: number },
    loads: 0,
    evictions: {},
    lastRequestAt: number,
    queueSeconds: histogram,
    batches: { count: number, requests: 2 * number },
    workers: [{ id: 1, pid: number, status: 'READY', startTime: '', inFlight: 0, restarts: 0 }],
    ...more,
  }
}

function processWith(inference: number, ...versions: LiveVersion[]): LiveProcess {
  return {
    residentBytes: 100,
    modelMemory: { budgetBytes: 10, usedBytes: 1, loadedModels: 1, isThrashing: inference === 5 },
    responses: { inference: { '2xx': inference }, management: { '2xx': 1 } },
    versions,
  }
}

test('what is counted is added, limits of the model are not, and workers have unique ids', () => {
  const others = new Map([
    [1, processWith(5, version(4, { statuses: { '2xx': 1, '5xx': 2 }, status: 'FAILED' }))],
    [2, processWith(7)],
  ])
  const { versions, ...server } = addProcesses(processWith(1, version(3)), others)
  assert.deepEqual(server, {
    residentBytes: 300,
    modelMemory: { budgetBytes: 30, usedBytes: 3, loadedModels: 3, isThrashing: true },
    responses: { inference: { '2xx': 13 }, management: { '2xx': 1 } },
  })
  const [only] = versions
  assert.ok(only !== undefined && versions.length === 1)
  assert.deepEqual(only, {
    ...version(7),
    status: 'PARTIAL',
    readyWorkers: 2,
    running: 2,
    capacity: 2,
    statuses: { '2xx': 4, '5xx': 2 },
    lastRequestAt: 4,
    queueSeconds: { bounds: [1], cumulative: [7, 9], sum: 3.5 },
    workers: [
      { id: 1, pid: 3, status: 'READY', startTime: '', inFlight: 0, restarts: 0 },
      { id: '1.1', pid: 4, status: 'READY', startTime: '', inFlight: 0, restarts: 0 },
    ],
  })
})
