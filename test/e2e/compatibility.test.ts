/** Differences of docs/compatibility.md that no other test shows. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'

interface Description {
  readonly workers: readonly { readonly startTime: string }[]
}

test('GPUs are dealt out from 0, in turn', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(
    path.join(folder, 'service.mjs'),
    `export const handle = (data, context) => {
      if (data) return data.map(() => 'OK')
      console.log('on GPU ' + context.systemProperties.gpuId)
    }`,
  )
  writeFileSync(path.join(folder, 'model.json'), '{ "handler": "service.mjs:handle" }')
  const server = await serve(t, [folder], { allowHandlers: true, gpus: 2, workers: 3 })
  const seen = await until(() => {
    const found = JSON.stringify(server.logLines).match(/on GPU \w+/g) ?? []
    return found.length >= 3 && found
  })
  assert.deepEqual(seen.toSorted(), ['on GPU 0', 'on GPU 0', 'on GPU 1'])
})

test('the time at which a worker started is UTC, and that of the process that runs now', async (t) => {
  const before = Date.now()
  const server = await serve(t, [handlerModel(t, 'words')], { allowHandlers: true, workers: 1 })
  const started = async (): Promise<number> => {
    const { workers } = (await json(await server.manage('/models/words'))) as Description
    assert.ok(workers.length > 0)
    for (const { startTime } of workers) assert.match(startTime, /Z$/)
    return Math.max(...workers.map(({ startTime }) => Date.parse(startTime)))
  }
  const first = await started()
  assert.ok(first >= before && first <= Date.now())
  await server.fetch('/predictions/words', { method: 'POST', body: 'exit:1' })
  await until(async () => (await started()) > first)
})

test('a line that begins with [PID] and has no number does nothing to the front-end', async (t) => {
  const server = await serve(t, [handlerModel(t, 'words')], { allowHandlers: true, workers: 1 })
  for (const text of ['print:[PID] none', 'print:[PID]', 'echo:still here']) {
    const answer = await server.fetch('/predictions/words', { method: 'POST', body: text })
    assert.equal(answer.status, 200)
  }
  await until(() => JSON.stringify(server.logLines).includes('[PID] none'))
})
