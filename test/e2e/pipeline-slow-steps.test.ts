/** A pipeline whose step takes longer to load than a request to the pipeline may take. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { writePipeline } from '../helpers/pipelines.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'

const SLOW = `
await new Promise((resolve) => setTimeout(resolve, 10_000))
export const handle = (data) => data?.map(({ body }) => ({ y: body.x }))
`

test('a step that loads for long is 504, and the worker of the pipeline goes on', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'slow', 'MAR-INF'), { recursive: true })
  writeFileSync(path.join(folder, 'slow', 'service.mjs'), SLOW)
  const settings = JSON.stringify({ handler: 'service.mjs:handle' })
  writeFileSync(path.join(folder, 'slow', 'model.json'), settings)
  const step = { model: 'slow', inputs: { x: 'x' }, outputs: { y: 'y' } }
  writePipeline(folder, 'patient', [step])
  const limits = { load: 'on-demand', allowHandlers: true, responseTimeout: 1 }
  const it = await serve(t, [], { modelStore: folder, ...limits })
  const answer = await it.fetch('/predictions/patient', {
    method: 'POST',
    body: '{"x": 1}',
    headers: { 'content-type': 'application/json' },
  })
  const text = await answer.text()
  assert.equal(answer.status, 504, text)
  assert.match(text, /within 1 s, the responseTimeout of the pipeline/)
  assert.equal(it.logLines.filter(({ msg }) => msg === 'worker died').length, 0)
})
