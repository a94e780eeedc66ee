/**
 * Block O, rows O01 to O04: a server without disk space, descriptors or processes continues to
 * serve and recovers.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createConnection } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import type { Command, CommandOptions } from '../helpers/command.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { fillBytes, fillInodes, needsMount, onDisk, seenBy } from '../helpers/mounted-command.ts'
import { needs } from '../helpers/needs.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { childrenOf, listing, temporaryFolder, until } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'
import { answerOf, assertError } from './harness.ts'
import type { Answer } from './harness.ts'

const MIB = 2 ** 20
const OTHER_USER = 12_346
const needsPrlimit = needs('prlimit', '--version')
/** The kernel counts the processes of a user; root may have any number. */
const needsUser = needsOtherUser === false ? needsPrlimit : needsOtherUser

interface Started {
  readonly command: Command
  readonly inference: string
  readonly management: string
  send(method: string, route: string, body?: FormData): Promise<Answer>
  /** Fails unless the example model, called `m`, is served. */
  serves(): Promise<void>
  stop(): Promise<void>
}

async function started(t: TestContext, args: string[], options: CommandOptions): Promise<Started> {
  const command = startCommand(t, ['--allow-local-paths', ...args], options)
  const { inference, management } = await command.ready()
  const headers = { connection: 'close' }
  return {
    command,
    inference,
    management,
    send: async (method, route, body) =>
      answerOf(await fetch(management + route, { method, headers, ...(body && { body }) })),
    serves: async () => {
      const init = { ...FLOWER, headers: { ...FLOWER.headers, ...headers } }
      const answer = await answerOf(await fetch(`${inference}/predictions/m`, init))
      assert.equal(answer.status, 200, answer.text)
    },
    stop: async () => {
      const { code, signal } = await command.end('SIGTERM')
      assert.deepEqual([code, signal], [0, null], command.errors())
    },
  }
}

function formOf(name: string, file: Buffer, fileName = 'model.onnx'): FormData {
  const form = new FormData()
  form.set('model_name', name)
  form.set('model', new Blob([file]), fileName)
  return form
}

/** Serves files that say their length, and files that do not. */
async function fileServer(t: TestContext, file: Buffer): Promise<string> {
  const server = createServer(({ url }, response) => {
    if (url !== '/chunked.onnx') response.setHeader('content-length', file.length)
    response.write(file.subarray(0, 1000))
    response.end(file.subarray(1000))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An upload whose length nobody knows before its end. */
async function uploadInChunks(
  { management }: Started,
  name: string,
  file: Buffer,
): Promise<Answer> {
  const response = new Response(formOf(name, file))
  const headers = {
    'content-type': response.headers.get('content-type') ?? '',
    connection: 'close',
  }
  const { body } = response
  assert.ok(body)
  const init = { method: 'POST', headers, body, duplex: 'half' as const }
  return answerOf(await fetch(`${management}/models`, init))
}

/** Every way in which the server would store a model of more than it has room for. */
async function assertNoRoom(server: Started, large: Buffer, origin: string, url: string) {
  const packed = zipOf([{ name: 'model.onnx', data: large }])
  assert.ok(packed.length < large.length / 10)
  const answers = {
    upload: await server.send('POST', '/models', formOf('x', large)),
    chunks: await uploadInChunks(server, 'x', large),
    archive: await server.send('POST', '/models', formOf('x', packed, 'x.mar')),
    unpacked: await server.send('POST', `/models?url=${url}&model_name=x`),
    download: await server.send('POST', `/models?url=${origin}/model.onnx&model_name=x`),
    chunked: await server.send('POST', `/models?url=${origin}/chunked.onnx&model_name=x`),
  }
  for (const [way, answer] of Object.entries(answers)) {
    assert.equal(answer.status, 507, `${way}: ${answer.text}`)
    assertError(answer, 507)
  }
}

test(
  'O01 a full disk for temporary files refuses models with 507 and keeps nothing of them',
  { skip: needsMount },
  async (t) => {
    const large = addModel(1, { padding: 3 * MIB })
    const origin = await fileServer(t, large)
    const archive = path.join(temporaryFolder(t), 'x.mar')
    writeFileSync(archive, zipOf([{ name: 'model.onnx', data: large }]))
    const temporary = path.join(temporaryFolder(t), 't')
    const args = ['--allowed-origins', origin, '--allow-private-addresses', `m=${iris}`]
    const prefix = onDisk(temporary, 'size=1m,nr_inodes=64')
    const server = await started(t, args, { prefix, temporary })
    const disk = seenBy(server.command.pid, temporary)
    const files = (): string[] => listing(disk).filter((name) => !/\/models$|\/w\d+$/.test(name))
    const before = files()
    await assertNoRoom(server, large, origin, archive)
    assert.deepEqual(files(), before, 'nothing of what was refused is left')
    // What fits is taken, before and after.
    assert.equal((await server.send('POST', '/models', formOf('small', addModel(1)))).status, 200)
    assert.equal((await server.send('DELETE', '/models/small')).status, 200)

    for (const fill of [fillBytes, fillInodes]) {
      const makeRoom = fill(disk)
      assertError(await server.send('POST', '/models', formOf('small', addModel(1))), 507)
      await server.serves()
      if (fill === fillInodes) {
        // A worker has a folder of its own.
        const url = `/models?url=${encodeURIComponent(iris)}&model_name=n&initial_workers=1`
        const waiting = server.send('POST', url)
        assertError(await waiting, 507)
        // A worker that dies meanwhile is started again when there is room.
        for (const pid of childrenOf(server.command.pid)) process.kill(pid, 'SIGKILL')
        await server.command.logged(/could not be started \(ENOSPC\)/)
      }
      makeRoom()
      await server.serves()
      assert.equal((await server.send('POST', '/models', formOf('small', addModel(1)))).status, 200)
      assert.equal((await server.send('DELETE', '/models/small')).status, 200)
    }
    assert.deepEqual(files(), before)
    await server.stop()
  },
)

test('O02 a limit of file sizes refuses models with 507, and large bodies are served', async (t) => {
  const large = addModel(1, { padding: 3 * MIB })
  const origin = await fileServer(t, large)
  const archive = path.join(temporaryFolder(t), 'x.mar')
  writeFileSync(archive, zipOf([{ name: 'model.onnx', data: large }]))
  const limit = ['bash', '-c', 'ulimit -f 1024; exec "$0" "$@"']
  const args = ['--allowed-origins', origin, '--allow-private-addresses', '--allow-handlers']
  const models = [`m=${iris}`, handlerModel(t, 'tool')]
  const server = await started(t, [...args, ...models], { prefix: limit })
  const files = (): string[] =>
    listing(server.command.temporary).filter((name) => !/\/models$|\/w\d+$/.test(name))
  const before = files()
  await assertNoRoom(server, large, origin, archive)
  assert.deepEqual(files(), before)
  // Bodies go to the worker by a file that may not grow so far, so they go by its socket.
  const headers = { 'x-echo': 'bytes', 'content-type': 'application/octet-stream' }
  for (const length of [MIB, 2 * MIB, 5 * MIB]) {
    const body = Buffer.alloc(length, 'x')
    const init = { method: 'POST', headers, body }
    const answer = await fetch(`${server.inference}/predictions/tool`, init)
    assert.deepEqual([answer.status, (await answer.arrayBuffer()).byteLength], [200, length])
    await server.send('GET', '/models')
  }
  const features = { features: Array.from({ length: 100_000 }, () => [5.1, 3.5, 1.4, 0.2]) }
  const answer = await fetch(`${server.inference}/predictions/m`, {
    ...FLOWER,
    body: JSON.stringify(features),
  })
  assert.equal(answer.status, 200)
  await answer.arrayBuffer()
  await server.serves()
  await server.stop()
})

/** Connects so often, one after the other, and says nothing. */
async function connectOften(t: TestContext, url: string, count: number): Promise<Socket[]> {
  const { port } = new URL(url)
  const sockets: Socket[] = []
  for (let number = 0; number < count; number += 1) {
    const socket = createConnection(Number(port), '127.0.0.1')
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    sockets.push(socket)
  }
  return sockets
}

test(
  'O03 with 64 descriptors and 200 connections the server serves on and recovers',
  { skip: needsPrlimit },
  async (t) => {
    const prefix = ['prlimit', '--nofile=64', '--']
    const args = ['--connection-timeout', '60', `m=${iris}`]
    const server = await started(t, args.slice(2), { prefix })
    const sockets = await connectOften(t, server.inference, 200)
    // The management listener has connections of its own, and a worker takes descriptors too.
    const registered = await server.send('POST', `/models?url=${iris}&model_name=n`)
    assert.ok([200, 503].includes(registered.status), registered.text)
    if (registered.status === 503) assertError(registered, 503)
    for (const socket of sockets) socket.destroy()
    await until(() =>
      server.serves().then(
        () => true,
        () => false,
      ),
    )
    for (let round = 0; round < 20; round += 1) await server.serves()
    if (registered.status === 503) {
      assert.equal((await server.send('POST', `/models?url=${iris}&model_name=n`)).status, 200)
    }
    assert.equal((await server.send('DELETE', '/models/n')).status, 200)
    await server.stop()
  },
)

const NOT_STARTED = (code: string): RegExp =>
  new RegExp(`"cause":"[^"]*could not be started \\(${code}\\)`, 'g')

test(
  'O03 workers that cannot be started for lack of descriptors do not close their model',
  { skip: needsPrlimit },
  async (t) => {
    const model = handlerModel(t, 'm', { workers: 2 })
    const server = await started(t, ['--allow-handlers', model], {})
    const limit = (files: number): void => {
      execFileSync('prlimit', ['--pid', String(server.command.pid), `--nofile=${files}:`])
    }
    limit(10)
    for (const pid of childrenOf(server.command.pid)) process.kill(pid, 'SIGKILL')
    // Five deaths in a minute would be the end of the model.
    await until(() => (server.command.errors().match(NOT_STARTED('EMFILE'))?.length ?? 0) >= 8)
    limit(4096)
    const init = { method: 'POST', body: 'echo:back' }
    const answer = await fetch(`${server.inference}/predictions/m`, init)
    assert.deepEqual([answer.status, await answer.text()], [200, 'back'])
    await until(
      async () => JSON.parse((await server.send('GET', '/models/m')).text).status === 'READY',
    )
    await server.stop()
  },
)

test(
  'O04 without a process to spare a registration gets 503, and workers come back later',
  { skip: needsUser },
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o755)
    const temporary = path.join(folder, 't')
    mkdirSync(temporary)
    chmodSync(temporary, 0o777)
    const server = await started(t, [`m=${iris}`], { prefix: asUser(OTHER_USER), temporary })
    const limit = (processes: string): void => {
      // Not even root may set the limits of another user's process everywhere.
      const command = ['prlimit', '--pid', String(server.command.pid), `--nproc=${processes}:`]
      const [setpriv, ...user] = asUser(OTHER_USER)
      execFileSync(setpriv, [...user, ...command])
    }
    const [, before = ''] =
      /^Max processes +(\d+|unlimited)/m.exec(
        readFileSync(`/proc/${server.command.pid}/limits`, 'latin1'),
      ) ?? []
    limit('1')
    assertError(await server.send('POST', `/models?url=${iris}&model_name=n`), 503)
    await server.serves()
    for (const pid of childrenOf(server.command.pid)) process.kill(pid, 'SIGKILL')
    await until(() => (server.command.errors().match(NOT_STARTED('EAGAIN'))?.length ?? 0) >= 6)
    limit(before)
    await server.serves()
    assert.equal((await server.send('POST', `/models?url=${iris}&model_name=n`)).status, 200)
    await server.stop()
  },
)
