/** What an unloaded model leaves behind: nothing. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import {
  metricSeries,
  openFiles,
  processTree,
  residentBytes,
  sizeOf,
  startProcess,
} from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { childrenOf, listing, temporaryFolder, until } from '../helpers/server.ts'
import { needsShared, shared } from '../helpers/shared.ts'

const CYCLES = sizeOf('ONNXD_FAULT_CYCLES', 100)
/**
 * Cycles before the first measurement, for any number of measured cycles. After them the code is
 * compiled and the heap has its normal size.
 */
const WARM_UP_CYCLES = 20
const MAX_GROWTH = 0.05

async function loadAndUnload(server: ServerProcess, model: string): Promise<void> {
  const registered = await server.call('POST', `/models?url=${model}&model_name=big`)
  assert.equal(registered.status, 200, registered.text)
  const { status, text } = await server.call('DELETE', '/models/big')
  assert.equal(status, 200, text)
}

/** Least memory of a few moments: a heap that was not collected yet is no leak. */
async function settledBytes({ pid }: ServerProcess): Promise<number> {
  const samples: number[] = []
  for (let sample = 0; sample < 10; sample += 1) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    samples.push(residentBytes(processTree(pid)))
  }
  return Math.min(...samples)
}

test(
  'a model that is loaded and unloaded again and again leaves no memory, process, file, descriptor or metric',
  { skip: needsShared, timeout: 900_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const state = path.join(folder, 'state')
    const server = await startProcess(t, folder, ['--state-dir', state, '--allow-local-paths'])
    const model = path.join(shared ?? '', 'models', 'mlp_big.onnx')
    for (let cycle = 0; cycle < WARM_UP_CYCLES; cycle += 1) await loadAndUnload(server, model)
    const before = {
      series: await metricSeries(server),
      files: listing(server.temporary),
      state: listing(state),
    }
    const filesOpen = openFiles(server.pid)
    const bytes = await settledBytes(server)

    for (let cycle = 0; cycle < CYCLES; cycle += 1) await loadAndUnload(server, model)
    assert.deepEqual(
      {
        series: await metricSeries(server),
        files: listing(server.temporary),
        state: listing(state),
      },
      before,
    )
    assert.deepEqual(childrenOf(server.pid), [])
    await until(() => openFiles(server.pid) <= filesOpen)
    const grown = (await settledBytes(server)) - bytes
    const share = grown / bytes
    t.diagnostic(
      `${(bytes / 2 ** 20).toFixed(1)} MiB, after ${CYCLES} cycles ${(share * 100).toFixed(1)} % more`,
    )
    assert.ok(share <= MAX_GROWTH, `${grown} bytes more than the ${bytes} of the start`)
    await server.close()
    assert.deepEqual(listing(server.temporary), [])
  },
)
