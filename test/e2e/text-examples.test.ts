/** Requests that the server shows for text models: they contain texts, and they work. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { shortTextExample } from '../../src/models/examples/text-examples.ts'
import { asHandlerMetadata } from '../../src/models/model-metadata.ts'
import { runOnnxd } from '../helpers/command-line.ts'
import { CLI, json, serve, until } from '../helpers/server.ts'
import { TINY_MODELS, tinyTextModel, tinyTextModels } from '../helpers/text-models.ts'

const run = promisify(execFile)

/** What the body of each model has. */
const BODIES: Readonly<Record<keyof typeof TINY_MODELS, RegExp>> = {
  classify: /^{"inputs":"[A-Z][^"]+\."}$/,
  zeroshot: /"candidate_labels":\["/,
  rank: /"query":"[^"]+\?","texts":\["[^"]+","[^"]+"\]/,
  tag: /Anna .* Berlin/,
  answer: /"question":"[^"]+\?","context":"/,
  fill: /"inputs":"[^"]*\[MASK\]/,
  sparse: /^{"inputs":"/,
  embed: /"source_sentence":"[^"]+","sentences":\["[^"]+","[^"]+"\]/,
}

test('the examples for each task have texts, and work', async (t) => {
  const server = await serve(t, tinyTextModels(t), { workers: 1 })
  const { paths } = (await json(await server.fetch('/openapi.json'))) as {
    paths: Record<string, { post: { requestBody: { content: Record<string, unknown> } } }>
  }
  for (const name of Object.keys(TINY_MODELS)) {
    const described = await server.fetch(`/predictions/${name}`, {
      method: 'POST',
      headers: { describe: 'True' },
    })
    const { text } = asHandlerMetadata(await json(described)) ?? {}
    assert.ok(text !== undefined, name)
    const short = shortTextExample(text)
    assert.match(JSON.stringify(short), BODIES[name] ?? /never/)
    const content = paths[`/predictions/${name}`]?.post.requestBody.content['application/json']
    const { examples } = content as { examples: { smallest: { value: unknown } } }
    for (const body of [short, examples.smallest.value]) {
      const response = await server.fetch(`/predictions/${name}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      assert.equal(response.status, 200, `${name}: ${await response.text()}`)
    }
  }
})

test('inspect and a server that is ready show a curl line with texts that works', async (t) => {
  const [folder = ''] = tinyTextModels(t, ['answer'])
  const { code, stdout } = await runOnnxd(['inspect', folder])
  assert.equal(code, 0)
  const [line = ''] =
    /curl .* -d '{"question":"[^"]+\?","context":"[^"]+"}' http.*/.exec(stdout) ?? []
  const { child, output } = startOnnxd(t, folder)
  await until(() => output.stdout.includes('Try it:') && output.stdout.includes('curl '), 60_000)
  const [shown = ''] = /curl .*/.exec(output.stdout) ?? []
  const url = /http:\S+/
  assert.equal(shown.replace(url, ''), line.replace(url, ''))
  const { stdout: answered } = await run('bash', ['-c', `${shown} -s -w '\n%{http_code}'`])
  assert.match(answered, /"answer":.*\n200$/s)
  child.kill('SIGINT')
  await once(child, 'close')
})

function startOnnxd(t: TestContext, folder: string) {
  const args = [CLI, 'serve', '--port', '0', '--management-port', '0', folder]
  const child = spawn(process.execPath, args, { env: { ...process.env, ONNXD_SPARE_WORKERS: '0' } })
  const output = { stdout: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  t.after(() => child.kill('SIGKILL'))
  return { child, output }
}

test('the commands of the page about text models work', async (t) => {
  const page = readFileSync('docs/text.md', 'utf8')
  const name = /npx onnxd serve \.\/(\S+)/.exec(page)?.[1] ?? ''
  const { embed } = TINY_MODELS
  assert.ok(embed !== undefined)
  const server = await serve(t, [tinyTextModel(t, name, embed)], { workers: 1 })
  const commands = [...page.matchAll(/^\$ (curl .* -d '\n[^']*')$/gm)].map(([, one = '']) => one)
  assert.equal(commands.length, [...page.matchAll(/^\$ curl /gm)].length)
  const answers: unknown[] = []
  for (const command of commands) {
    const own = command.replace('localhost:8080', new URL(server.inferenceUrl).host)
    const { stdout } = await run('bash', ['-c', `${own} -s --fail`])
    answers.push(JSON.parse(stdout))
  }
  const [similarities, embeddings] = answers as [number[], { data: unknown[] }]
  assert.deepEqual([similarities.length, typeof similarities[0]], [2, 'number'])
  assert.equal(embeddings.data.length, 2)
})
