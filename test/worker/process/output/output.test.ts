import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { constants, lstatSync, openSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { encodePredict } from '../../../../src/worker/wire/encode.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import { until } from '../../../helpers/until.ts'
import {
  TestWorker,
  WORKER_ENTRY,
  modelFolder,
  startWorker,
  wireRequest,
} from '../../../helpers/worker-client.ts'

/**
 * A handler that prints when it is loaded, and at each request with the console, the file
 * descriptor, and a child process.
 */
const TALKER = `
  import { spawnSync } from 'node:child_process'
  import { writeSync } from 'node:fs'
  export function handle(data) {
    if (!data) return console.log('at load')
    console.log('from the console')
    console.error('an error line')
    writeSync(1, 'from the descriptor\\n')
    spawnSync('sh', ['-c', 'echo from a child; echo child error >&2'], { stdio: 'inherit' })
    return data.map(() => 'ok')
  }`
const HELLO = `export function handle(data) {
  if (data) console.log('hello', data[0].who)
  return data?.map(() => 'ok')
}`

interface Reader {
  text: string
  hasEnded: boolean
  readonly socket: Socket
}

/** Reads a FIFO the way a front-end does, without blocking anything. */
function readFifo(t: TestContext, name: string): Reader {
  const fd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
  const socket = new Socket({ fd, readable: true, writable: false })
  const reader: Reader = { text: '', hasEnded: false, socket }
  socket.setEncoding('utf8').on('data', (text: string) => (reader.text += text))
  socket.once('close', () => (reader.hasEnded = true))
  t.after(() => socket.destroy())
  return reader
}

function fifosOf(worker: TestWorker): string[] {
  return readdirSync(worker.folder)
    .filter((name) => name !== 'w.sock')
    .toSorted()
}

/** A worker whose model has been loaded with the IO descriptor `d`. */
async function loadedWorker(t: TestContext, code: string) {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, { 'service.mjs': code })
  const client = await worker.connect()
  const reply = await client.load({ modelPath, ioDescriptor: 'd' })
  assert.equal(reply.code, 200)
  return { worker, client, modelPath }
}

test('the FIFOs exist with mode 0600 before the model is loaded, and take its output after the reply', async (t) => {
  const worker = await startWorker(t)
  const modelPath = await modelFolder(t, {
    'service.mjs': `
      import { statSync } from 'node:fs'
      const names = ['stdout', 'stderr'].map((name) => ${JSON.stringify(worker.folder)} + '/d-' + name)
      console.log('modes', ...names.map((name) => (statSync(name).mode & 0o777).toString(8)))
      ${TALKER}`,
  })
  const client = await worker.connect()
  await client.load({ modelPath, ioDescriptor: 'd' })
  // The reply and the output come by different ways.
  await worker.printed('at load')
  assert.match(worker.stdout, /modes 600 600\nat load\n/)
  const before = worker.stdout
  const stdout = readFifo(t, path.join(worker.folder, 'd-stdout'))
  const stderr = readFifo(t, path.join(worker.folder, 'd-stderr'))
  await until('the FIFOs are in use', () => {
    client.send(encodePredict([wireRequest([])]))
    return stdout.text.includes('from a child') && stderr.text.includes('child error')
  })
  const round = 'from the console\nfrom the descriptor\nfrom a child\n[METRICS]PredictionTime'
  await until('a whole round', () => stdout.text.includes(round))
  assert.ok(stderr.text.includes('an error line\nchild error\n'))
  client.socket.destroy()
  await until('both FIFOs end', () => stdout.hasEnded && stderr.hasEnded)
  await until('both FIFOs are removed', () => fifosOf(worker).length === 0)
  assert.ok(worker.stdout.startsWith(before))
})

test('a worker whose FIFOs nobody opens responds, and prints where it did before', async (t) => {
  const { worker, client } = await loadedWorker(t, TALKER)
  for (const _ of [1, 2, 3]) assert.equal((await client.predict([wireRequest([])])).code, 200)
  await worker.printed('from a child')
  await worker.printed('child error', 'stderr')
  // One reader alone is enough for its own stream.
  const stderr = readFifo(t, path.join(worker.folder, 'd-stderr'))
  await until('stderr comes', () => {
    client.send(encodePredict([wireRequest([])]))
    return stderr.text.includes('an error line\nchild error\n')
  })
})

// One line fills most of a page of the pipe, and the notice of what was lost fits behind it.
test('a FIFO that is open but not read costs its output, not the responses', async (t) => {
  const { worker, client } = await loadedWorker(
    t,
    `export function handle(data) {
      if (data) for (let i = 0; i < 200; i++) console.log('x'.repeat(2_999))
      return data?.map(() => 'ok')
    }`,
  )
  const stdout = readFifo(t, path.join(worker.folder, 'd-stdout'))
  await until('the FIFO is in use', () => {
    client.send(encodePredict([wireRequest([])]))
    return stdout.text.includes('xxx\n')
  })
  // Whatever was asked above is answered before the pipe is left to fill up.
  client.send(encodePredict([wireRequest([], [], 'last')]))
  for (let id = ''; id !== 'last';) id = (await client.reply()).predictions[0]?.id ?? ''
  stdout.socket.pause()
  for (const _ of [1, 2]) assert.equal((await client.predict([wireRequest([])])).code, 200)
  stdout.socket.resume()
  await until('what was lost is told', () => {
    client.send(encodePredict([wireRequest([])]))
    return /^dropped \d{6,} bytes of output$/m.test(stdout.text)
  })
  stdout.socket.destroy()
  // Without any reader, printing is no error either.
  assert.equal((await client.predict([wireRequest([], [], 'unread')])).code, 200)
})

test('output goes back where it went when the connection of a FIFO ends', async (t) => {
  const folder = temporaryFolder(t)
  const modelPath = await modelFolder(t, { 'service.mjs': HELLO })
  // A shell gives the worker a real pipe, as the original's front-end does.
  const script = `"$0" "$1" --sock-type unix --sock-name "$2/w.sock" --tmp-dir "$2" 2>&1 | cat`
  const shell = spawn('sh', ['-c', script, process.execPath, WORKER_ENTRY, folder])
  const worker = new TestWorker(shell, folder)
  await worker.printed('Node runtime')
  const pid = Number(/^\[PID\] (\d+)$/m.exec(worker.stdout)?.[1])
  t.after(() => {
    process.kill(pid, 'SIGTERM')
    return worker.exited
  })
  const clients = []
  for (const ioDescriptor of ['one', 'two']) {
    const client = await worker.connect()
    await client.load({ modelPath, ioDescriptor })
    const reader = readFifo(t, path.join(folder, `${ioDescriptor}-stdout`))
    const say = (who: string) => client.predict([wireRequest([['who', who, 'text/plain']])])
    await until('the FIFO is in use', () => {
      void say('anybody')
      return reader.text.includes('hello anybody')
    })
    clients.push({ client, reader, say })
  }
  const [one, two] = clients
  assert.ok(one && two)
  // The output of a process goes to one place: the FIFOs that were opened last.
  await one.say('two')
  await until('it comes to the second', () => two.reader.text.includes('hello two'))
  two.client.socket.destroy()
  await until('the second FIFO ends', () => two.reader.hasEnded)
  await one.say('one')
  await until('it comes to the first', () => one.reader.text.includes('hello one'))
  one.client.socket.destroy()
  await until('the first FIFO ends', () => one.reader.hasEnded)
  const last = await worker.connect()
  await last.load({ modelPath })
  await last.predict([wireRequest([['who', 'world', 'text/plain']])])
  await worker.printed('hello world')
  assert.deepEqual(readdirSync(folder), ['w.sock'])
})

test('the FIFOs are removed on every way out', async (t) => {
  const ends = ['close', 'SIGTERM', 'SIGINT', 'exit', 'throw', 'failed load', 'second load']
  for (const end of ends) {
    const { worker, client, modelPath } = await loadedWorker(
      t,
      `export function handle(data) {
        if (!data && ${JSON.stringify(end)} === globalThis.failOn) throw new Error('second time')
        globalThis.failOn = 'failed load'
        if (data && ${JSON.stringify(end)} === 'exit') process.exit(3)
        if (data) { setTimeout(() => { throw new Error('late') }); return new Promise(() => {}) }
      }`,
    )
    assert.deepEqual(fifosOf(worker), ['d-stderr', 'd-stdout'], end)
    if (end === 'close') client.socket.destroy()
    else if (end.startsWith('SIG')) worker.process.kill(end as NodeJS.Signals)
    else if (end.endsWith('load')) {
      const { code } = await client.load({ modelPath, ioDescriptor: 'e' })
      assert.equal(code, end === 'failed load' ? 500 : 200)
    } else client.send(encodePredict([wireRequest([])]))
    const left = end === 'second load' ? ['e-stderr', 'e-stdout'] : []
    await until(`the FIFOs go after ${end}`, () => fifosOf(worker).join() === left.join())
  }
})

test('an IO descriptor that is in use, was used, or is no file name closes the connection', async (t) => {
  const { worker, client, modelPath } = await loadedWorker(t, HELLO)
  symlinkSync('/nowhere', path.join(worker.folder, 'link-stderr'))
  for (const ioDescriptor of ['d', 'link', '../d', 'a/b', '..', 'a b', 'ä', 'x'.repeat(300)]) {
    const other = await worker.connect()
    await assert.rejects(other.load({ modelPath, ioDescriptor }), /without a reply/, ioDescriptor)
  }
  assert.deepEqual(fifosOf(worker), ['d-stderr', 'd-stdout', 'link-stderr'])
  assert.ok(lstatSync(path.join(worker.folder, 'link-stderr')).isSymbolicLink())
  await assert.rejects(client.load({ modelPath, ioDescriptor: 'd' }), /without a reply/)
})

test('all that was printed before a crash arrives', async (t) => {
  const modelPath = await modelFolder(t, {
    'service.mjs': `
      const ends = {
        abort: () => process.abort(),
        exit: () => process.exit(5),
        throw: () => setTimeout(() => { throw new Error('late') }),
        SIGKILL: () => process.kill(process.pid, 'SIGKILL'),
      }
      export async function handle(data) {
        if (!data) return
        if (data[0].end === 'none') return console.log('ready'), ['ok']
        for (let line = 0; line < 20_000; line++) console.log('line', String(line).padStart(6, '0'))
        ends[data[0].end]()
        await new Promise(() => {})
      }`,
  })
  const predict = (end: string) => encodePredict([wireRequest([['end', end, 'text/plain']])])
  const check = (text: string, end: string) => {
    const lines = text.match(/^line \d{6}$/gm) ?? []
    assert.deepEqual([lines.length, lines.at(-1)], [20_000, 'line 019999'], end)
  }
  // Slow readers: everything must be in their hands, or in the pipe, when the worker dies.
  for (const end of ['abort', 'exit', 'throw', 'SIGKILL']) {
    const worker = await startWorker(t)
    const client = await worker.connect()
    await client.load({ modelPath })
    worker.process.stdout?.pause()
    client.send(predict(end))
    // Nothing tells that the pipe is full.
    setTimeout(() => worker.process.stdout?.resume(), 100)
    await worker.exited
    check(worker.stdout, `${end}, stdout`)
  }
  for (const end of ['abort', 'SIGKILL']) {
    const worker = await startWorker(t)
    const client = await worker.connect()
    await client.load({ modelPath, ioDescriptor: 'd' })
    const reader = readFifo(t, path.join(worker.folder, 'd-stdout'))
    await until('the FIFO is in use', () => {
      client.send(predict('none'))
      return reader.text.includes('ready')
    })
    reader.text = ''
    reader.socket.pause()
    client.send(predict(end))
    // Nothing tells that the FIFO is full.
    setTimeout(() => reader.socket.resume(), 100)
    await until('the FIFO ends', () => reader.hasEnded)
    check(reader.text, `${end}, FIFO`)
  }
})

test('a worker that prints into a file does not overwrite what others append to it', async (t) => {
  const folder = temporaryFolder(t)
  const log = path.join(folder, 'log')
  const modelPath = await modelFolder(t, { 'broken.mjs': 'throw new Error("no such luck")' })
  const model = ['--handler', 'broken.mjs', '--model-path', modelPath, '--preload-model', 'true']
  const socket = ['--sock-type', 'unix', '--sock-name', path.join(folder, 'w.sock')]
  const script = `"$0" "$@" > ${log} 2>&1; echo the end >> ${log}`
  spawnSync('sh', ['-c', script, process.execPath, WORKER_ENTRY, ...socket, ...model])
  const text = readFileSync(log, 'utf8')
  assert.match(
    text,
    /^model_service_worker started[^]*MMS worker started\.[^]*no such luck[^]*\nthe end\n$/,
  )
})
