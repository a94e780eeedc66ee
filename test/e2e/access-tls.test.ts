/** TLS of both listeners. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { connect as connectPlain } from 'node:net'
import path from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import {
  NEEDS_OPENSSL,
  askSecurely,
  makeCertificate,
  replaceFile,
} from '../helpers/certificates.ts'
import type { Certificate, SecureAnswer } from '../helpers/certificates.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const cleanups: (() => unknown)[] = []
const file: Cleanup = { after: (run) => cleanups.push(run as () => unknown) }
after(() => {
  for (const run of cleanups.toReversed()) run()
})
const folder = temporaryFolder(file)
const skip = NEEDS_OPENSSL
const NONE = { cert: '', key: '' }
const [first, second, client, stranger] = ['first', 'second', 'client', 'stranger'].map((name) =>
  skip === false ? makeCertificate(folder, name) : NONE,
) as [Certificate, Certificate, Certificate, Certificate]

const secure = (): Promise<TestServer> =>
  sharedServer([iris], {
    tlsCert: first.cert,
    tlsKey: first.key,
    headersTimeout: 2,
    maxConnections: 20,
  })
const read = (name: string): string => readFileSync(name, 'utf8')
/** The test clients trust both certificates. */
const trusted = (): { ca: string } => ({ ca: `${read(first.cert)}${read(second.cert)}` })
const predict = (server: TestServer, options: object = {}): Promise<SecureAnswer> =>
  askSecurely(`${server.inferenceUrl}/predictions/iris`, { ...FLOWER, ...trusted(), ...options })

async function connectTo(t: Cleanup, url: string, options: object = {}): Promise<TLSSocket> {
  const { port } = new URL(url)
  const socket = connect({ port: Number(port), host: '127.0.0.1', ...trusted(), ...options })
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

test('both listeners use the certificate, and TLS 1.2 or newer', { skip }, async (t) => {
  const server = await secure()
  assert.match(server.inferenceUrl, /^https:/)
  assert.match(server.managementUrl, /^https:/)
  const answer = await predict(server)
  assert.deepEqual([answer.status, answer.server], [200, 'first'])
  const models = await askSecurely(`${server.managementUrl}/models`, trusted())
  assert.deepEqual([models.status, models.server], [200, 'first'])
  const misplaced = await askSecurely(`${server.inferenceUrl}/models`, trusted())
  assert.ok(misplaced.text.includes(server.managementUrl))

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const limits = { minVersion: version, maxVersion: version }
    const socket = await connectTo(t, server.inferenceUrl, limits)
    assert.equal(socket.getProtocol(), version)
    socket.destroy()
  }
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
  await assert.rejects(predict(server, old))
  await server.logged(({ msg, code }) => {
    return msg === 'a TLS handshake failed' && code === 'ERR_SSL_UNSUPPORTED_PROTOCOL'
  })
  await assert.rejects(fetch(server.inferenceUrl.replace('https', 'http')))
})

test('connections without TLS have the limits of others', { skip }, async (t) => {
  const server = await secure()
  const { port } = new URL(server.inferenceUrl)
  const sockets = Array.from({ length: 22 }, () => connectPlain(Number(port), '127.0.0.1'))
  t.after(() => sockets.map((socket) => socket.destroy()))
  for (const socket of sockets) socket.on('error', () => {})
  await Promise.race(sockets.map((socket) => once(socket, 'close')))
  await server.logged(({ msg }) => String(msg).startsWith('new connections are closed'))
  // Those that begin no handshake are closed after `headersTimeout`.
  const open = sockets.filter(({ destroyed }) => !destroyed)
  await Promise.all(open.map((socket) => once(socket, 'close')))
  assert.equal((await predict(server)).status, 200)
})

test('a rejected upload gets its whole response, and slow headers get 408', { skip }, async (t) => {
  const server = await secure()
  const upload = await connectTo(t, server.inferenceUrl)
  const received: string[] = []
  upload.setEncoding('latin1').on('data', (part: string) => received.push(part))
  upload.write('POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n')
  upload.write(Buffer.alloc(4_000_000))
  await once(upload, 'end')
  assert.match(received.join(''), /^HTTP\/1\.1 404 [^]*ResourceNotFoundException[^]*\}\n$/)

  const slow = await connectTo(t, server.inferenceUrl)
  slow.setEncoding('latin1').on('data', (part: string) => received.push(part))
  slow.write('GET /ping HTTP/1.1\r\n')
  await once(slow, 'end')
  assert.match(received.at(-1) ?? '', /^HTTP\/1\.1 408 /)
})

test(
  'new certificates are used for new connections, and broken files are not',
  { skip },
  async (t) => {
    const own = temporaryFolder(t)
    const [tlsCert, tlsKey] = [path.join(own, 'tls.crt'), path.join(own, 'tls.key')]
    const install = ({ cert, key }: Certificate): void => {
      replaceFile(tlsCert, readFileSync(cert))
      replaceFile(tlsKey, readFileSync(key))
    }
    install(first)
    const server = await serve(t, [iris], { tlsCert, tlsKey })
    await server.logged(({ msg }) => msg === `Server listening at ${server.inferenceUrl}`)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    assert.equal((await predict(server, { agent })).server, 'first')

    install(second)
    await server.logged(({ msg }) => msg === 'TLS certificates were read again')
    assert.equal((await predict(server)).server, 'second')
    const models = await askSecurely(`${server.managementUrl}/models`, trusted())
    assert.equal(models.server, 'second')
    assert.equal((await predict(server, { agent })).server, 'first', 'the open connection stays')

    for (const [content, reason] of [
      ['', /tlsCert has no certificate/],
      [read(stranger.cert), /tlsKey is not the key/],
    ] as const) {
      replaceFile(tlsCert, content)
      await server.logged(({ level, reason: text }) => level === 50 && reason.test(String(text)))
      assert.equal((await predict(server)).server, 'second')
    }
  },
)

test('clients need a certificate of the authority, if there is one', { skip }, async (t) => {
  const settings = { tlsCert: first.cert, tlsKey: first.key, tlsClientCa: client.cert }
  const server = await serve(t, [iris], settings)
  const certificate = ({ cert, key }: Certificate): object => ({ cert: read(cert), key: read(key) })
  const answer = await predict(server, certificate(client))
  assert.equal(answer.status, 200)
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    await assert.rejects(predict(server, { maxVersion: version }))
    await assert.rejects(predict(server, { maxVersion: version, ...certificate(stranger) }))
  }
  const ping = `${server.inferenceUrl}/ping`
  await assert.rejects(askSecurely(ping, trusted()), 'health paths too')
  await assert.rejects(askSecurely(`${server.managementUrl}/models`, trusted()))
})

test(
  'the server stops after the last response, without waiting for handshakes',
  { skip },
  async (t) => {
    const server = await serve(t, [iris], { tlsCert: first.cert, tlsKey: first.key })
    const idle = await connectTo(t, server.inferenceUrl)
    const { port } = new URL(server.inferenceUrl)
    const plain = connectPlain(Number(port), '127.0.0.1')
    plain.on('error', () => {})
    await once(plain, 'connect')
    const busy = await connectTo(t, server.inferenceUrl)
    busy.write('POST /predictions/iris HTTP/1.1\r\nHost: x\r\nContent-Length: 33\r\n')
    busy.write('Content-Type: application/json\r\n\r\n{"features":')
    const received: string[] = []
    busy.setEncoding('latin1').on('data', (part: string) => received.push(part))
    const over = Promise.all([once(idle, 'close'), once(plain, 'close'), once(busy, 'end')])
    const closing = server.close()
    await server.logged(({ msg }) => msg === 'stopping')
    busy.write('[[5.1,3.5,1.4,0.2]]}'.padEnd(33 - '{"features":'.length))
    await over
    assert.match(received.join(''), /^HTTP\/1\.1 200 [^]*setosa/)
    await closing
  },
)
