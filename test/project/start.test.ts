import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import test from 'node:test'

const READY = /ready\.\nInference (http:\/\/\S+), management (http:\/\/\S+)/

test('npm start serves the examples, and a Ctrl-C that comes twice ends it in good order', async (t) => {
  const child = spawn(
    process.execPath,
    ['scripts/start.mjs', '--port', '0', '--management-port', '0', '--log-level', 'error'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.after(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit')
  let output = ''
  let origin: string | undefined
  let management: string | undefined
  const chunks = child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })
  for await (const chunk of chunks) {
    output += String(chunk)
    ;[, origin, management] = READY.exec(output) ?? []
    if (origin !== undefined) break
  }
  assert.ok(origin, `it ended without being ready: ${output}`)

  for (const model of ['iris', 'digits']) {
    const isPicture = model === 'digits'
    const response = await fetch(`${origin}/predictions/${model}`, {
      method: 'POST',
      headers: { 'content-type': isPicture ? 'image/png' : 'application/json' },
      body: isPicture
        ? readFileSync('examples/digits/samples/7.png')
        : '{"features": [[5.8, 2.7, 5.1, 1.9]]}',
    })
    assert.equal(response.status, 200, await response.text())
  }

  // The program is bundled; what it needs besides is found when it is wanted.
  for (const [url, status] of [
    [`${origin}/docs/swagger-ui.css`, 200],
    [`${origin}/openapi.yaml`, 200],
    [`${management}/models?limit=some`, 400],
    [`${management}/metrics`, 200],
  ] as const) {
    const response = await fetch(url)
    assert.equal(response.status, status, `${url} ${await response.text()}`)
  }
  const form = new FormData()
  form.append('image', new Blob([readFileSync('examples/digits/samples/7.png')]), '7.png')
  const byForm = await fetch(`${origin}/predictions/digits`, { method: 'POST', body: form })
  assert.equal(byForm.status, 200, await byForm.text())

  const licenses = readFileSync('dist/licenses.txt', 'utf8')
  for (const name of ['fastify', 'yauzl', '@sinclair/typebox'])
    assert.match(licenses, new RegExp(`^${name} [\\d.]+ \\(MIT\\)$`, 'm'))
  assert.match(licenses, /^swagger-ui-dist [\d.]+ \(Apache-2\.0\)$/m)
  assert.ok(licenses.split('Permission is hereby granted').length > 20, 'with their texts')

  // The terminal sends it to all processes, and npm to its child once more.
  child.kill('SIGINT')
  child.kill('SIGINT')
  assert.deepEqual(await exit, [0, null])
})

test('npm hands signals to the programs themselves, no shell in between', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const name of ['start', 'dev', 'test'])
    assert.match(scripts[name] ?? '', /^exec node /, name)
})
