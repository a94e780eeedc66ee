/** Many clients change one model at once. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { randomNumbers } from '../helpers/random.ts'
import {
  FLOWER,
  assertAllAnswered,
  iris,
  processesNaming,
  sizeOf,
  startLoad,
  startProcess,
} from '../helpers/server-process.ts'
import type { ServerProcess } from '../helpers/server-process.ts'
import { listing, temporaryFolder, until } from '../helpers/server.ts'

const CLIENTS = sizeOf('ONNXD_FAULT_CLIENTS', 32)
const OPERATIONS = sizeOf('ONNXD_FAULT_OPERATIONS', 20)
/** Done, begun, or refused because another client was first. */
const EXPECTED = new Set([200, 202, 210, 404, 409, 503])

const CHANGES: readonly (readonly [method: string, route: string])[] = [
  ['POST', `/models?url=${iris}&model_name=stormy`],
  ['POST', `/models?url=${iris}&model_name=stormy&initial_workers=0`],
  ['POST', `/models?url=${iris}&model_name=stormy&initial_workers=2&synchronous=false`],
  ['DELETE', '/models/stormy'],
  ['PUT', '/models/stormy?min_worker=2&synchronous=true'],
  ['PUT', '/models/stormy?min_worker=1'],
  ['PUT', '/models/stormy?min_worker=0&synchronous=true&timeout=1'],
]

async function workersOf(server: ServerProcess, name: string): Promise<number[]> {
  const { status, text } = await server.call('GET', `/models/${name}`)
  if (status === 404) return []
  assert.equal(status, 200, text)
  return (JSON.parse(text) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
}

test(
  'a storm of changes to one model breaks neither it nor its neighbour',
  { timeout: 900_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const start = (): Promise<ServerProcess> =>
      startProcess(t, folder, [
        '--allow-local-paths',
        '--state-dir',
        path.join(folder, 'state'),
        `iris=${iris}`,
      ])
    const server = await start()
    const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 2)
    const random = randomNumbers(5)
    const answers = new Map<number, number>()
    const problems: string[] = []
    const runClient = async (): Promise<void> => {
      for (let operation = 0; operation < OPERATIONS; operation += 1) {
        const [method, route] = CHANGES[random.integer(0, CHANGES.length - 1)] ?? ['', '']
        const { status, text } = await server.call(method, route)
        answers.set(status, (answers.get(status) ?? 0) + 1)
        if (!EXPECTED.has(status)) problems.push(`${method} ${route}: ${status} ${text}`)
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, runClient))
    t.diagnostic(`answers ${JSON.stringify(Object.fromEntries(answers))}`)
    assert.deepEqual(problems, [])

    // What was answered with 202 comes to its end; then every process is one that a model knows.
    await until(async () => {
      const known = [
        ...(await workersOf(server, 'iris')),
        ...(await workersOf(server, 'stormy')),
      ].toSorted()
      return JSON.stringify(known) === JSON.stringify(workerPids(folder, server).toSorted())
    }, 30_000)
    await server.call('DELETE', '/models/stormy')
    const registered = await server.call('POST', `/models?url=${iris}&model_name=stormy`)
    assert.equal(registered.status, 200, registered.text)
    await load.stop()
    assertAllAnswered(load)
    await until(() => workerPids(folder, server).length === 2)
    await server.close()
    assert.deepEqual(processesNaming(folder), [])
    assert.deepEqual(listing(server.temporary), [])

    const next = await start()
    const asked = await fetch(`${next.inferenceUrl}/predictions/stormy`, FLOWER)
    assert.equal(asked.status, 200, await asked.text())
    assert.equal((await next.call('DELETE', '/models/stormy')).status, 200)
    await until(() => workerPids(folder, next).length === 1)
    await next.close()
  },
)

/** The server names the folder of its state. */
function workerPids(folder: string, { pid }: ServerProcess): number[] {
  return processesNaming(folder).filter((other) => other !== pid)
}
