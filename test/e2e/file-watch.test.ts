import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { handlerFolder } from '../helpers/handler-folder.ts'
import { serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

function code(answer: string): string {
  return `export function handle(data: readonly unknown[] | undefined) {
  return data?.map(() => ${answer})
}
`
}

test('--watch loads a changed handler again; a broken one leaves the old one', async (t) => {
  const folder = handlerFolder(
    t,
    { 'service.ts': code("'first'"), 'model.json': { handler: 'service.ts:handle' } },
    null,
  )
  const file = path.join(folder, 'service.ts')
  const server = await serve(t, [folder], { allowHandlers: true, watch: true })
  assert.equal(await answerOf(server), 'first')
  writeFileSync(file, code("'second'"))
  await server.logged(({ msg }) => /changed; it was loaded again/.test(String(msg)))
  assert.equal(await answerOf(server), 'second')

  writeFileSync(file, code("'third' +"))
  const { reason } = await server.logged(({ msg }) => /cannot be loaded; the old/.test(String(msg)))
  assert.match(String(reason), /service\.ts:\d/)
  assert.equal(await answerOf(server), 'second')
  writeFileSync(path.join(folder, 'model.json'), '{')
  await server.logged(({ reason: text }) => /Failed to parse model\.json/.test(String(text)))
  assert.equal(await answerOf(server), 'second')

  writeFileSync(path.join(folder, 'model.json'), '{"handler": "service.ts:handle"}')
  writeFileSync(file, code("'fourth'"))
  await server.logged(
    ({ msg, change }) =>
      /loaded again/.test(String(msg)) && change !== undefined && count(server) === 2,
  )
  assert.equal(await answerOf(server), 'fourth')
})

function count(server: TestServer): number {
  return server.logLines.filter(({ msg }) => /loaded again/.test(String(msg))).length
}

async function answerOf(server: TestServer): Promise<string> {
  const response = await server.fetch('/predictions/model', { method: 'POST', body: 'x' })
  assert.equal(response.status, 200)
  return response.text()
}

test('--watch also loads models again that were registered after the start', async (t) => {
  const folder = handlerFolder(
    t,
    { 'service.ts': code("'first'"), 'model.json': { handler: 'service.ts:handle' } },
    null,
  )
  const server = await serve(t, [], { allowHandlers: true, allowLocalPaths: true, watch: true })
  const add = `/models?model_name=model&initial_workers=1&url=${encodeURIComponent(folder)}`
  assert.equal((await server.manage(add, { method: 'POST' })).status, 200)
  assert.equal(await answerOf(server), 'first')
  writeFileSync(path.join(folder, 'service.ts'), code("'second'"))
  await server.logged(({ msg }) => /changed; it was loaded again/.test(String(msg)))
  assert.equal(await answerOf(server), 'second')

  assert.equal((await server.manage('/models/model', { method: 'DELETE' })).status, 200)
  writeFileSync(path.join(folder, 'service.ts'), code("'third'"))
  assert.equal((await server.manage(add, { method: 'POST' })).status, 200)
  assert.equal(await answerOf(server), 'third')
  assert.equal(count(server), 1)
})
