/** What connections cost that send nothing, too little or nonsense, and keep their side open. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { connectionsFor } from '../../src/routes/connection-limits.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { iris, openFiles } from '../helpers/server-process.ts'
import { CLI, serve, until } from '../helpers/server.ts'

const READY = /^onnxd is ready\. Inference (\S+), management (\S+)$/m

/** A server that may open so many files and no more. */
async function startWithFiles(
  t: TestContext,
  files: number,
  ...args: string[]
): Promise<{ pid: number; inference: string; management: string }> {
  const ports = ['--port', '0', '--management-port', '0', '--log-level', 'error']
  const command = `ulimit -n ${files} && exec "$@"`
  const child = spawn(
    'sh',
    ['-c', command, 'sh', process.execPath, CLI, 'serve', iris, ...ports, ...args],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [, inference = '', management = ''] = await until(() => {
    assert.equal(child.exitCode, null, 'the server starts')
    return READY.exec(output) ?? false
  }, 60_000)
  return { pid: child.pid ?? 0, inference, management }
}

async function isServed(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { headers: { connection: 'close' } })
    await answer.arrayBuffer()
    return answer.status === 200
  } catch {
    return false
  }
}

/** What a client can send before it falls silent with its side open. */
const BEGINNINGS: readonly [what: string, text: string, status: number | undefined][] = [
  ['nothing', '', 408],
  ['half of a head', 'POST /predictions/iris HTTP/1.1\r\nHost: x\r\n', 408],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 400],
  [
    'headers that are too large',
    `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`,
    431,
  ],
  [
    'half of a body',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx',
    408,
  ],
  [
    'a chunk that is none',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n',
    400,
  ],
  [
    'a form that stops',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 99\r\n\r\n--b',
    408,
  ],
  [
    'a body that is too large',
    'POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n',
    413,
  ],
  ['a path that is unknown', 'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n', 404],
  ['no host', 'GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', 404],
]

test('E1: every connection that is refused is given back, even if the client keeps its side open', async (t) => {
  const timeouts = ['--headers-timeout', '1', '--body-timeout', '1']
  const { pid, inference, management } = await startWithFiles(t, 256, ...timeouts)
  assert.ok((await isServed(`${inference}/ping`)) && (await isServed(`${management}/ping`)))
  const before = openFiles(pid)
  for (const [what, text, status] of BEGINNINGS) {
    for (const url of [inference, management]) {
      const client = await RawClient.connect(t, url)
      client.read()
      await client.write(text)
      await client.ended
      const expected =
        url === management && text.includes('/predictions') && status === 413 ? 404 : status
      if (url === inference) assert.deepEqual(client.statuses, [expected], what)
      else assert.equal(client.statuses.length, 1, what)
      assert.match(client.text, /\r\n\r\n\{/, `${what}: the response has a body`)
    }
  }
  await until(() => openFiles(pid) <= before, 15_000)
})

test(
  'E1: 600 silent connections to a server of 256 files shut nobody out for longer than 15 s',
  { timeout: 120_000 },
  async (t) => {
    const { pid, inference, management } = await startWithFiles(t, 256, '--headers-timeout', '5')
    const silent: RawClient[] = []
    for (let count = 0; count < 600; count += 1) silent.push(await RawClient.connect(t, inference))
    for (const client of silent) client.read()
    // The other listener has connections of its own.
    assert.ok(await isServed(`${management}/ping`))
    assert.ok(openFiles(pid) < 200, `${openFiles(pid)} files`)
    await until(() => isServed(`${inference}/ping`), 15_000)
    await until(() => openFiles(pid) < 60, 15_000)
    assert.ok((await isServed(`${inference}/ping`)) && (await isServed(`${management}/ping`)))
  },
)

test('E1: a listener holds as many connections as it is told, and says when it is full', async (t) => {
  const server = await serve(t, [iris], { maxConnections: 4 })
  const held = []
  for (let count = 0; count < 4; count += 1)
    held.push(await RawClient.connect(t, server.inferenceUrl))
  const surplus = await RawClient.connect(t, server.inferenceUrl)
  surplus.read()
  await surplus.ended
  assert.equal(surplus.text, '')
  await until(() => server.logLines.some(({ msg }) => String(msg).includes('too many')))
  assert.equal((await server.manage('/ping')).status, 200)
  for (const { socket } of held) socket.destroy()
  await until(() => isServed(`${server.inferenceUrl}/ping`))
})

test('E1: a body that goes on arriving is no silent one, however slow it is', async (t) => {
  const server = await serve(t, [iris], { bodyTimeout: 2 })
  const body = '{"features":[[5.1,3.5,1.4,0.2]]}'
  const client = await RawClient.connect(t, server.inferenceUrl)
  client.read()
  const head = ['POST /predictions/iris HTTP/1.1', 'Host: x', 'Content-Type: application/json']
  await client.write([...head, `Content-Length: ${body.length}`, '', ''].join('\r\n'))
  for (const character of body) {
    await client.write(character)
    await new Promise((resolve) => setTimeout(resolve, 120))
  }
  await client.answered()
  assert.deepEqual(client.statuses, [200])
})

test('E1: the number of connections depends on the files that may be open', () => {
  assert.deepEqual(
    [64, 256, 1024, 65_536, 1_048_576, Number.POSITIVE_INFINITY].map(connectionsFor),
    [16, 64, 256, 10_000, 10_000, 10_000],
  )
})
