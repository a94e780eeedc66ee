/** `onnxd logs` and `GET /logs`, with a real server. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { test } from 'node:test'
import { RecentLog } from '../../../src/routes/management/recent-log.ts'
import { runOnnxd } from '../../helpers/command-line.ts'
import { FLOWER, iris } from '../../helpers/server-process.ts'
import { CLI, json, until } from '../../helpers/server.ts'
import type { TestServer } from '../../helpers/server.ts'
import { sharedServer } from '../../helpers/shared-server.ts'

/** A server with a request that has this id in its log. */
async function serverWith(id: string): Promise<TestServer> {
  const server = await sharedServer([iris])
  const headers = { ...FLOWER.headers, 'x-request-id': id }
  await (await server.fetch('/predictions/iris', { ...FLOWER, headers })).text()
  await server.logged(({ requestId }) => requestId === id)
  return server
}

test('the last lines are shown, for people and as JSON', async () => {
  const server = await serverWith('shown')
  const environment = { ONNXD_URL: server.managementUrl }
  const { stdout, code } = await runOnnxd(['logs'], { environment })
  assert.equal(code, 0)
  assert.match(stdout, /^[\d:.]{12} INFO {2}POST \/predictions\/:model 200 .*requestId=shown/m)
  const { stdout: text } = await runOnnxd(['logs', 'iris', '--json', '-n', '1000'], { environment })
  const { lines } = JSON.parse(text) as { lines: Record<string, unknown>[] }
  assert.ok(lines.some(({ requestId }) => requestId === 'shown'))
  assert.ok(lines.every(({ model }) => model === 'iris'))
  const none = await runOnnxd(['logs', '--level', 'fatal'], { environment })
  assert.equal(none.stdout, '')
})

test('the route filters and continues where the last response ended', async () => {
  const server = await serverWith('first')
  const page = async (query: string) =>
    (await json(await server.manage(`/logs?${query}`))) as {
      last: number
      lines: Record<string, unknown>[]
    }
  const { last, lines } = await page('limit=2')
  assert.equal(lines.length, 2)
  await serverWith('second')
  const { lines: after } = await page(`after=${last}&model=iris`)
  assert.deepEqual(
    after.map(({ requestId }) => requestId).filter((id) => id === 'first' || id === 'second'),
    ['second'],
  )
  for (const query of ['level=loud', 'limit=0', 'after=-1', 'lines=3']) {
    assert.equal((await server.manage(`/logs?${query}`)).status, 400, query)
  }
})

test('--follow prints new lines until it is interrupted', async (t) => {
  const server = await serverWith('before')
  const child = spawn(process.execPath, [CLI, 'logs', '-f'], {
    env: { ...process.env, ONNXD_URL: server.managementUrl },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await until(() => output.includes('requestId=before'))
  await serverWith('after')
  await until(() => output.includes('requestId=after'))
  child.kill('SIGINT')
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 130)
  assert.equal(output.split('requestId=before').length, 2, 'a line is printed once')
})

test('--follow does not show its own requests, and ends when the reader closes the pipe', async (t) => {
  const server = await serverWith('piped')
  const child = spawn(process.execPath, [CLI, 'logs', '-f', '-n', '1'], {
    env: { ...process.env, ONNXD_URL: server.managementUrl },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  await until(() => output !== '')
  const shown = output.length
  await server.logged(({ route }) => route === '/logs')
  await serverWith('own-requests-before')
  await until(() => output.includes('requestId=own-requests-before'))
  assert.doesNotMatch(output.slice(shown), /GET \/logs/)
  child.stdout.destroy()
  const exit = once(child, 'exit')
  await serverWith('nobody-reads')
  assert.deepEqual(await exit, [0, null])
  assert.equal(errors, '')
})

test('mistakes are told', async () => {
  const { managementUrl } = await sharedServer([iris])
  for (const [args, expected] of [
    [['logs', 'irs', '--url', managementUrl], /has no model "irs"\. Did you mean iris\?/],
    [
      ['logs', '--url', managementUrl.replace('http', 'https')],
      /^onnxd: https:\S+ does not speak TLS\. Write http:/,
    ],
    [['logs', '--lines', '0'], /--lines must be a whole number from 1 to 1000, not "0"/],
    [['logs', '--url', 'http://127.0.0.1:1'], /No server responds at http:\/\/127\.0\.0\.1:1/],
  ] as const) {
    const { code, stderr } = await runOnnxd(args)
    assert.notEqual(code, 0)
    assert.match(stderr, expected)
  }
})

test('requests do not displace other lines, and memory is bounded', () => {
  const log = new RecentLog()
  log.add('{"level":30,"msg":"kept"}\n')
  for (let index = 0; index < 10_000; index += 1) log.add(`{"index":${index},"msg":"request"}\n`)
  log.add(`{"msg":"${'x'.repeat(10_000)}"}\n`)
  const lines = log.after(0)
  assert.equal(lines[0], '{"level":30,"msg":"kept"}\n')
  assert.equal(lines.at(-1), '{"index":9999,"msg":"request"}\n')
  assert.ok(lines.length > 1000 && lines.length <= 2001, String(lines.length))
  assert.equal(log.last, 10_002)
  assert.deepEqual(log.after(10_000), ['{"index":9999,"msg":"request"}\n'])
})
