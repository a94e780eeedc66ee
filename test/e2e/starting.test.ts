/** Requests that come while the server loads the models of its start. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import { temporaryFolder } from '../helpers/server.ts'

test('while the server starts, a model whose load has not begun gets 503, and then its response', async (t) => {
  const gate = path.join(temporaryFolder(t), 'gate')
  const waiting = `import { existsSync } from 'node:fs'
    while (!existsSync(${JSON.stringify(gate)})) await new Promise((resolve) => setTimeout(resolve, 20))
    export const handle = (requests) => requests.map(() => 'ok')`
  const slow = ['first', 'second'].map((name) => {
    const folder = temporaryFolder(t)
    writeFileSync(path.join(folder, 'service.mjs'), waiting)
    writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
    return `${name}=${folder}`
  })
  const models = [...slow, path.resolve('examples/iris')]
  const command = startCommand(t, ['--allow-handlers', ...models])
  const [, url = ''] = await command.logged(/Server listening at (http:[^"]+)/)
  for (const route of ['/predictions/iris', '/v2/models/iris/ready', '/v1/models/iris']) {
    const method = route.startsWith('/predictions') ? 'POST' : 'GET'
    const answer = await fetch(url + route, { method })
    assert.equal(answer.status, 503, route)
    await answer.arrayBuffer()
  }
  const early = await fetch(`${url}/predictions/iris`, { method: 'POST', body: '[]' })
  assert.match(await early.text(), /The server is starting and has not loaded a model iris yet/)
  assert.equal(early.headers.get('retry-after'), '1')
  writeFileSync(gate, '')
  const { inference } = await command.ready()
  assert.equal((await fetch(`${inference}/v2/models/iris/ready`)).status, 200)
  assert.equal((await fetch(`${inference}/v2/models/none/ready`)).status, 404)
  const { code } = await command.end('SIGTERM')
  assert.equal(code, 0)
})
