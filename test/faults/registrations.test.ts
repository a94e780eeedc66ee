/** Block O, row O20: what registering and unregistering again and again leaves behind. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { addModel } from '../helpers/onnx-files.ts'
import {
  iris,
  metricSeries,
  openFiles,
  processTree,
  residentBytes,
} from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { listing, start, temporaryFolder, until } from '../helpers/server.ts'
import { reportFigure } from './figures.ts'
import { size } from './harness.ts'

const MIB = 2 ** 20
const CYCLES = size(6, 1000)
/** Code is compiled and the heap finds its size before the first measurement. */
const WARM_UP_CYCLES = size(2, 300)
const GOAL_BYTES = 2 * MIB
/** What is asserted: V8 may keep pages, and compiles code now and then. */
const MAX_BYTES = 8 * MIB
const CLIENTS = 2

/**
 * A server that runs its garbage collector on request, with a small young generation. V8 lets the
 * usual one grow to 32 MiB over thousands of requests, which would hide what the server holds.
 */
interface Collected extends ServerProcess {
  collect(): Promise<void>
}

async function startCollected(t: TestContext, model: string): Promise<Collected> {
  const folder = temporaryFolder(t)
  const [trigger, preload] = [path.join(folder, 'collect'), path.join(folder, 'collector.cjs')]
  writeFileSync(
    preload,
    `const fs = require('node:fs')
     // Only process 0 is measured.
     if (/cli\\.js$/.test(process.argv[1])) setInterval(() => {
       if (!fs.existsSync(${JSON.stringify(trigger)})) return
       for (let round = 0; round < 6; round += 1) global.gc()
       fs.rmSync(${JSON.stringify(trigger)})
     }, 50).unref()`,
  )
  const environment = { NODE_OPTIONS: `--expose-gc --max-semi-space-size=1 --require ${preload}` }
  const flags = ['--port', '0', '--management-port', '0', '--log-level', 'error']
  const server = await start(t, [...flags, '--allow-local-paths', model], { environment })
  return {
    ...server,
    call: async (method, route, body) => {
      const answer = await server.manage(route, { method, ...(body && { body }) })
      return { status: answer.status, text: await answer.text() }
    },
    collect: async () => {
      writeFileSync(trigger, '')
      await until(() => !existsSync(trigger))
    },
  }
}

/** What the server holds when nothing is registered by this test. */
interface Holding {
  readonly bytes: number
  readonly descriptors: number
  readonly files: readonly string[]
  readonly series: readonly string[]
  readonly processes: number
}

async function holdingOf(server: Collected): Promise<Holding> {
  // Descriptors of connections and workers that have just ended are closed a moment later.
  await until(async () => {
    const now = openFiles(server.pid)
    await new Promise((resolve) => setTimeout(resolve, 100))
    return openFiles(server.pid) === now
  })
  await server.collect()
  const samples: number[] = []
  for (let sample = 0; sample < 10; sample += 1) {
    samples.push(residentBytes([server.pid]))
    await new Promise((resolve) => setTimeout(resolve, size(20, 200)))
  }
  return {
    bytes: Math.min(...samples),
    descriptors: openFiles(server.pid),
    // Folders of workers are numbered.
    files: listing(server.temporary).filter((name) => !/\/w\d+$/.test(name)),
    series: await metricSeries(server),
    processes: processTree(server.pid).length,
  }
}

/** What differs, but for memory. Nothing may. */
function differences(before: Holding, after: Holding): string[] {
  const found: string[] = []
  if (Math.abs(after.descriptors - before.descriptors) > 1)
    found.push(`descriptors: ${before.descriptors}, then ${after.descriptors}`)
  if (after.processes !== before.processes) found.push(`processes: ${after.processes}`)
  for (const kind of ['files', 'series'] as const) {
    const left = after[kind].filter((one) => !before[kind].includes(one))
    if (left.length > 0) found.push(`${kind}: ${left.length} more, ${left.slice(0, 3).join(' ')}`)
  }
  return found
}

/** Registers a model: every other time one that is uploaded. */
async function register(server: ServerProcess, number: number, workers: number): Promise<void> {
  const name = `cycle-${number}`
  let route = `/models?url=${iris}&model_name=${name}&initial_workers=${workers}`
  let form: FormData | undefined
  if (number % 2 === 1) {
    route = '/models'
    form = new FormData()
    form.set('model_name', name)
    form.set('initial_workers', String(workers))
    form.set('model', new Blob([addModel(1)]), 'model.onnx')
  }
  const { status, text } = await server.call('POST', route, form)
  assert.equal(status, 200, text)
}

/** Runs `cycle` for each number below `count`, with a few clients at a time. */
async function inTurn(count: number, cycle: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const run = async (): Promise<void> => {
    while (next < count) await cycle(next++)
  }
  await Promise.all(Array.from({ length: CLIENTS }, run))
}

test(
  'O20 registering and unregistering leaves no memory, descriptor, file or metric',
  { timeout: 3_000_000 },
  async (t) => {
    const server = await startCollected(t, `m=${iris}`)
    const cycle = async (number: number): Promise<void> => {
      await register(server, number, 1)
      const { status, text } = await server.call('DELETE', `/models/cycle-${number}`)
      assert.equal(status, 200, text)
    }
    await inTurn(WARM_UP_CYCLES, cycle)
    const before = await holdingOf(server)
    let failed = 0
    await inTurn(CYCLES, async (number) => {
      await cycle(number).catch((error: unknown) => {
        failed += 1
        t.diagnostic(String(error))
      })
    })
    const after = await holdingOf(server)
    const grown = after.bytes - before.bytes
    const found = differences(before, after)
    reportFigure(t, {
      what: `register and unregister × ${CYCLES === 1000 ? '1 000' : CYCLES}`,
      goal: 'growth ≤ 2 MiB, 0 failed',
      seen: `${(grown / MIB).toFixed(1)} MiB of ${(before.bytes / MIB).toFixed(0)} MiB, ${failed} failed`,
      isMet: grown <= GOAL_BYTES && failed === 0 && found.length === 0,
    })
    assert.equal(failed, 0)
    assert.deepEqual(found, [])
    assert.ok(grown < MAX_BYTES, `${grown} bytes`)

    // The measurement itself: models that are not unregistered must show up in each part of it.
    const leaked = size(6, 400)
    await inTurn(leaked, (number) => register(server, number, 0))
    const leaking = await holdingOf(server)
    const kinds = differences(after, leaking).map((text) => text.split(':')[0])
    assert.deepEqual(kinds, ['files', 'series'])
    const leakedBytes = leaking.bytes - after.bytes
    t.diagnostic(`${leaked} models that stay: ${(leakedBytes / MIB).toFixed(1)} MiB more`)
    if (CYCLES === 1000) assert.ok(leakedBytes > GOAL_BYTES, `${leakedBytes} bytes`)
    await server.call('POST', `/models?url=${iris}&model_name=worker&initial_workers=1`)
    const withWorker = differences(leaking, await holdingOf(server)).map(
      (text) => text.split(':')[0],
    )
    assert.deepEqual(withWorker, ['descriptors', 'processes', 'series'])
  },
)
