/** Bytes that clients make the server hold: bodies that do not end, responses that nobody reads. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const MIB = 1024 * 1024

/** A connection that a test reads itself. */
class Client {
  readonly socket: Socket
  text = ''
  isClosed = false

  constructor(t: TestContext, { inferenceUrl }: TestServer) {
    const { hostname, port } = new URL(inferenceUrl)
    this.socket = connect(Number(port), hostname)
    this.socket.on('error', () => {})
    this.socket.on('close', () => (this.isClosed = true))
    t.after(() => this.socket.destroy())
  }

  /** Sends the head of a request and the first bytes of its body. */
  post(contentLength: number, body: Buffer, headers = ''): void {
    const head = `POST /predictions/tool HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n${headers}`
    this.socket.write(`${head}Content-Length: ${contentLength}\r\n\r\n`)
    this.socket.write(body)
  }

  read(): void {
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')))
  }

  get status(): number | undefined {
    const [, status] = /^HTTP\/1\.1 (\d+)/.exec(this.text) ?? []
    return status === undefined ? undefined : Number(status)
  }
}

const residentMib = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024

const echo = async (server: TestServer): Promise<number> => {
  const headers = { 'content-type': 'text/plain' }
  const answer = await server.fetch('/predictions/tool', {
    method: 'POST',
    body: 'echo:x',
    headers,
  })
  await answer.text()
  return answer.status
}

test('E6: bodies that do not end are held up to the budget, the rest gets 503', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    memoryBudgetMib: 64,
  })
  const before = residentMib(server.pid)
  const clients = Array.from({ length: 20 }, () => new Client(t, server))
  const part = Buffer.alloc(20 * MIB)
  for (const client of clients) {
    client.read()
    client.post(60 * MIB, part)
  }
  await until(() => clients.filter(({ status }) => status === 503).length >= 15)
  const refused = clients.find(({ status }) => status === 503)
  assert.match(refused?.text ?? '', /retry-after: 1\r\n/i)
  assert.match(refused?.text ?? '', /holds too many bytes/)
  const grown = residentMib(server.pid) - before
  assert.ok(grown < 64 + 150, `${Math.round(grown)} MiB for a budget of 64 MiB`)
  for (const { socket } of clients) socket.destroy()
  // What they held is let go, and nothing else was.
  await until(async () => (await echo(server)) === 200)
  for (let round = 0; round < 3; round += 1) {
    const client = new Client(t, server)
    client.read()
    client.post(40 * MIB, Buffer.alloc(40 * MIB), 'x-echo: bytes\r\n')
    await until(() => client.status)
    assert.equal(client.status, 200)
    client.socket.destroy()
  }
})

test('E6: responses that nobody reads are held up to the budget, and cut off', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    memoryBudgetMib: 96,
    writeTimeout: 3,
  })
  const clients: Client[] = []
  for (let count = 0; count < 8; count += 1) {
    const client = new Client(t, server)
    client.post(32 * MIB, Buffer.alloc(32 * MIB), 'x-echo: bytes\r\n')
    clients.push(client)
  }
  // A client that does not read does not see the end of its connection either.
  await server.logged(({ msg }) => /a response was cut off/.test(String(msg)))
  const before = residentMib(server.pid)
  for (const client of clients) client.read()
  await until(() => clients.every(({ isClosed, status }) => isClosed || status === 503))
  const whole = clients.filter(({ text }) => text.length > 32 * MIB)
  assert.deepEqual(whole, [], 'no response is left over')
  assert.ok(before < 400, `${Math.round(before)} MiB`)
  await until(async () => (await echo(server)) === 200)
})

test('E6: a client that reads slowly gets its whole response', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], {
    allowHandlers: true,
    writeTimeout: 1,
    drainTimeout: 60,
  })
  const client = new Client(t, server)
  client.post(24 * MIB, Buffer.alloc(24 * MIB), 'x-echo: bytes\r\nConnection: close\r\n')
  let bytes = 0
  let head = ''
  client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (head === '') head = chunk.toString('latin1').slice(0, 500)
    client.socket.pause()
    setTimeout(() => client.socket.resume(), 10)
  })
  await until(() => client.isClosed, 60_000)
  assert.ok(bytes > 24 * MIB, `${bytes} bytes: ${head}`)
})
