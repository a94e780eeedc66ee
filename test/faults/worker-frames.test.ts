/**
 * Block P: frames of the worker protocol. A fake worker sends them to a real server, and a fake
 * front-end to a real worker.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { encodeLoad, encodePredict } from '../../src/worker/wire/encode.ts'
import { fakePython, fakePythonModel } from '../helpers/fake-python.ts'
import { workerPids } from '../helpers/observe.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { sendRaw } from '../helpers/raw-request.ts'
import { residentBytes } from '../helpers/server-process.ts'
import { isAlive, listing, runtimeFolder, until } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { loadRequest, modelFolder, startWorker, wireRequest } from '../helpers/worker-client.ts'
import {
  assertError,
  assertUnharmed,
  block,
  heldBy,
  isFull,
  rowsOfOneProcess,
  size,
  startLaboratory,
} from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'

const cleanup: Cleanup = { after: (run) => after(run as () => void) }
const python = fakePython(cleanup)
const row = rowsOfOneProcess(block({ settings: { python } }), 'the worker that gets a request')

const MIB = 1024 * 1024
/** What the plan allows a worker that breaks the protocol to live on. */
const KILL_MS = 1000
/** Far more than the plan allows, for a machine that does other work. */
const NOISE_MS = 4000
const MINE = 'socket.write(answers(answer(requests[0].id, "mine")))'
const BROKE = /^Worker died: it violated the worker protocol \(.+\)\.$/

/** A registered model whose worker does as each request says. */
interface Fake {
  readonly name: string
  ask(code: string): Promise<Answer>
  pid(): Promise<number>
}

interface FakeOptions {
  readonly name?: string
  /** Code that replaces what the worker does before the first request. */
  readonly service?: string
  /** Of the registration. */
  readonly parameters?: Record<string, string>
}

async function withFake(
  server: Laboratory,
  run: (fake: Fake) => Promise<void>,
  { name = 'fake', service = '', parameters = {} }: FakeOptions = {},
): Promise<void> {
  const archive = fakePythonModel(server.store, name, service)
  await server.register(name, path.basename(archive), parameters)
  try {
    await run({
      name,
      ask: (code) => server.predict(name, code),
      pid: async () => {
        const [pid = 0] = await until(async () => {
          const pids = await workerPids(server, name)
          return pids.length > 0 && pids
        })
        return pid
      },
    })
  } finally {
    // What it still has to do is let go after a second.
    await server.call('DELETE', `/models/${name}?timeout=1`)
    rmSync(archive)
  }
}

/**
 * The code must cause exactly one 5xx and the immediate end of the worker. Another worker serves
 * the next request.
 */
async function assertViolation(fake: Fake, code: string, what = code): Promise<void> {
  const pid = await fake.pid()
  const startedAt = performance.now()
  const answer = await fake.ask(code)
  await until(() => !isAlive(pid))
  const tookMs = performance.now() - startedAt
  assertError(answer, 500)
  assert.match(JSON.parse(answer.text).message, BROKE, what)
  assert.ok(tookMs < KILL_MS + NOISE_MS, `${what}: ${tookMs} ms`)
  await assertServesOwn(fake, what)
}

async function assertServesOwn(fake: Fake, what = ''): Promise<void> {
  const answer = await fake.ask(MINE)
  assert.deepEqual([answer.status, answer.text], [200, 'mine'], what)
}

/** Memory of a process: what it uses, and what it has ever reserved. */
function memoryOf(pid: number): { resident: number; peak: number } {
  const [, kib = '0'] =
    /^VmPeak:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  return { resident: residentBytes([pid]), peak: Number(kib) * 1024 }
}

/** Each length field of a reply, behind what stands before it. */
const LENGTH_FIELDS = {
  message: 'int(200)',
  id: 'int(200), str("")',
  'content type': 'int(200), str(""), str(requests[0].id)',
  reason: 'int(200), str(""), str(requests[0].id), str(""), int(200)',
  'header name': 'int(200), str(""), str(requests[0].id), str(""), int(200), str(""), int(1)',
  'header value':
    'int(200), str(""), str(requests[0].id), str(""), int(200), str(""), int(1), str("n")',
  body: 'int(200), str(""), str(requests[0].id), str(""), int(200), str(""), int(0)',
}
const write = (...fields: string[]): string => `socket.write(bytes(${fields.join()}))`

row('P01', 'a length that no reply may have costs no memory', async (server, t) => {
  await withFake(server, async (fake) => {
    await assertServesOwn(fake)
    const before = memoryOf(server.pid)
    const lengths = [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, -1, -2, 65 * MIB + 1]
    for (const [index, [field, head]] of Object.entries(LENGTH_FIELDS).entries()) {
      for (const [place, length] of lengths.entries()) {
        // -1 in place of an id ends the list, which P06 has.
        const isEnd = field === 'id' && (length | 0) === -1
        const isExtra = !isFull && field !== 'body' && place !== (2 * index) % lengths.length
        if (isEnd || isExtra) continue
        await assertViolation(fake, write(head, String(length)), `${field} of ${length} bytes`)
      }
    }
    const now = memoryOf(server.pid)
    t.diagnostic(`${(now.resident - before.resident) / MIB} MiB more resident`)
    assert.ok(now.peak - before.peak < 512 * MIB, `${(now.peak - before.peak) / MIB} MiB reserved`)
    assert.ok(
      now.resident - before.resident < 48 * MIB,
      `${(now.resident - before.resident) / MIB} MiB`,
    )
  })
})

row('P02', 'a reply that stalls meets the deadline, wherever it stalls', async (server) => {
  const places = [
    'int(200), str("")',
    `${LENGTH_FIELDS.body}, int(1000), Buffer.from("half")`,
    `${LENGTH_FIELDS.reason}, int(10), Buffer.from("half")`,
    'int(200)',
    `${LENGTH_FIELDS.body}, str("all but the end")`,
    'Buffer.of(0, 0)',
  ]
  await Promise.all(
    places.slice(0, size(4, places.length)).map((place, index) =>
      withFake(
        server,
        async (fake) => {
          const pid = await fake.pid()
          const startedAt = performance.now()
          assertError(await fake.ask(write(place)), 504)
          const tookMs = performance.now() - startedAt
          assert.ok(tookMs > 990 && tookMs < 1250 + NOISE_MS, `${place}: ${tookMs} ms`)
          await until(() => !isAlive(pid))
          await assertServesOwn(fake, place)
        },
        { name: `stalls${index}`, parameters: { response_timeout: '1' } },
      ),
    ),
  )
})

row('P03', 'a reply is read the same, however it is split', async (server) => {
  const reply = (id: string): string =>
    `frame({ predictions: [{ id: ${id}, contentType: 'text/plain', status: 201, reason: 'Föund',
      headers: [['x-one', 'a'], ['x-two', 'ü']], body: Buffer.from('whole ü') }] })`
  const start = `const all = ${reply('requests[0].id')}; socket.setNoDelay?.(true)`
  const check = ({ status, headers, text }: Answer, what: string): void =>
    assert.deepEqual(
      [status, headers.get('x-one'), headers.get('x-two'), text],
      [201, 'a', 'ü', 'whole ü'],
      what,
    )
  await withFake(server, async (fake) => {
    const pid = await fake.pid()
    const bytes = `${start}; let at = 0
      const timer = setInterval(() => at < all.length ? socket.write(all.subarray(at, ++at)) : clearInterval(timer), 1)`
    check(await fake.ask(bytes), 'one byte after the other')
    const length = Number(
      (
        await fake.ask(
          `${start}; socket.write(answers(answer(requests[0].id, String(all.length))))`,
        )
      ).text,
    )
    assert.ok(length > 80)
    for (let at = 1; at < length; at += size(4, 1)) {
      const halves = `${start}; socket.write(all.subarray(0, ${at}), () => setImmediate(() => socket.write(all.subarray(${at}))))`
      check(await fake.ask(halves), `split at ${at}`)
    }
    assert.equal(await fake.pid(), pid, 'the same worker')
  })
})

row(
  'P04',
  'a reply too many, or a thousand, costs the worker and nobody gets it',
  async (server) => {
    const own = 'answers(answer(requests[0].id, "own"))'
    await withFake(server, async (fake) => {
      for (const [what, more] of [
        ['the reply twice', own],
        ['a reply without predictions', 'frame({})'],
        ['a thousand replies', `...Array.from({ length: 1000 }, () => ${own})`],
        ['the begin of another', `${own}.subarray(0, 9)`],
        ['one byte of another', 'Buffer.of(0)'],
        ['garbage', 'Buffer.alloc(100, 0xee)'],
      ] as const) {
        const pid = await fake.pid()
        const { status, text } = await fake.ask(`socket.write(Buffer.concat([${own}, ${more}]))`)
        // The first reply is sound, so the request may have it.
        assert.ok(
          status === 500 || (status === 200 && text === 'own'),
          `${what}: ${status} ${text}`,
        )
        await until(() => !isAlive(pid))
        await assertServesOwn(fake, what)
      }
    })
  },
)

row('P05', 'a count that the frame cannot hold is refused before it is read', async (server) => {
  const head = LENGTH_FIELDS.reason
  await withFake(server, async (fake) => {
    for (const count of [2 ** 31 - 1, 2 ** 31, -1, -2, 65_537])
      await assertViolation(fake, write(head, 'str("")', String(count)), `${count} headers`)
    // So many may come, and do not: that is a stall.
    const many = `const one = bytes(str('r'), str(''), 200, str(''), 0, str(''));
      socket.write(Buffer.concat([bytes(200, ''), ...Array.from({ length: 65_537 }, () => one), int(-1)]))`
    await assertViolation(fake, many, 'more predictions than a frame may have')
  })
})

row('P06', 'a prediction goes to its own request, or costs the worker', async (server) => {
  await withFake(server, async (fake) => {
    for (const [what, predictions] of [
      ['an unknown id', 'answer("00000000-0000-0000-0000-000000000000", "foreign")'],
      ['an empty id', 'answer("", "foreign")'],
      ['the id in capitals', 'answer(requests[0].id.toUpperCase() + "A", "foreign")'],
      ['no prediction', ''],
      ['an extra one', 'answer(requests[0].id, "own"), answer("other", "foreign")'],
      ['a double one', 'answer(requests[0].id, "own"), answer(requests[0].id, "foreign")'],
      ['the id of a prototype', 'answer("__proto__", "foreign")'],
    ] as const)
      await assertViolation(fake, `socket.write(answers(${predictions}))`, what)
    // The answer to the request before, which is settled.
    await assertServesOwn(fake)
    await assertViolation(fake, 'socket.write(answers(answer(earlier.at(-1)[0].id, "foreign")))')
  })
  await withFake(server, assertBatches, {
    name: 'pair',
    parameters: { batch_size: '2', max_batch_delay: '1000' },
  })
  await assertNoLateAnswer(server)
  await assertNoForeignAnswer(server)
})

/** Two requests in one frame. The worker does what the first says; the second is empty. */
async function assertBatches(fake: Fake): Promise<void> {
  const both = (code: string): Promise<Answer[]> => Promise.all([fake.ask(code), fake.ask('')])
  // Each learns its own place by the length of its code.
  const mark = 'const own = (index) => String(requests[index].parameters[0].value.length)'
  const swapped = `${mark}; socket.write(answers(answer(requests[1].id, own(1)), answer(requests[0].id, own(0))))`
  const sound: [number, string][] = [
    [200, String(swapped.length)],
    [200, '0'],
  ]
  assert.deepEqual(textsOf(await both(swapped)), sound)
  for (const predictions of [
    'answer(requests[0].id, "foreign")',
    'answer(requests[1].id, "foreign")',
    'answer(requests[0].id, "foreign"), answer(requests[0].id, "foreign")',
    'answer(requests[0].id, "foreign"), answer("other", "foreign")',
    'answer(requests[0].id, "a"), answer(requests[1].id, "b"), answer("other", "c")',
  ]) {
    const pid = await fake.pid()
    for (const answer of await both(`socket.write(answers(${predictions}))`)) {
      assertError(answer, 500)
      assert.match(answer.text, /violated the worker protocol/, predictions)
    }
    await until(() => !isAlive(pid))
    assert.deepEqual(textsOf(await both(swapped)), sound, predictions)
  }
}

function textsOf(answers: readonly Answer[]): [number, string][] {
  return answers.map(({ status, text }) => [status, text])
}

/** A worker that is late is dead: its answer can reach no later request. */
async function assertNoLateAnswer(server: Laboratory): Promise<void> {
  await withFake(
    server,
    async (fake) => {
      const late = fake.ask(
        'setTimeout(() => socket.write(answers(answer(requests[0].id, "late"))), 1500)',
      )
      const next = fake.ask(MINE)
      assertError(await late, 504)
      assert.equal((await next).text, 'mine')
      await new Promise((resolve) => setTimeout(resolve, 700))
      await assertServesOwn(fake)
    },
    { parameters: { response_timeout: '1' } },
  )
}

/** Ids of a request that another worker has. */
async function assertNoForeignAnswer(server: Laboratory): Promise<void> {
  await withFake(server, async (first) => {
    await withFake(
      server,
      async (second) => {
        // The first holds its request until the second has tried to answer it.
        const waiting = first.ask(
          'const timer = setInterval(() => { socket.write(answers(answer(requests[0].id, "mine"))); clearInterval(timer) }, 600)',
        )
        await assertViolation(
          second,
          'socket.write(answers(answer(requests[0].id.replace(/.$/, "!"), "foreign")))',
        )
        assert.equal((await waiting).text, 'mine')
      },
      { name: 'second' },
    )
  })
}

row(
  'P07',
  'texts that are not UTF-8 cost the worker, NUL and line ends reach no response',
  async (server) => {
    const id = 'requests[0].id'
    const invalid = [
      '[0xff]',
      '[0xc0, 0xaf]',
      '[0xed, 0xa0, 0x80]',
      '[0x61, 0xe2, 0x82]',
      '[0xf5, 0x80, 0x80, 0x80]',
    ]
    await withFake(server, async (fake) => {
      for (const [field, head] of Object.entries(LENGTH_FIELDS)) {
        if (field === 'body') continue
        for (const [index, bytes] of invalid.entries()) {
          if (!isFull && index !== Object.keys(LENGTH_FIELDS).indexOf(field) % invalid.length)
            continue
          await assertViolation(
            fake,
            write(head, `str(Buffer.from(${bytes}))`),
            `${field} ${bytes}`,
          )
        }
      }
      const nasty = '"a\\0b\\r\\nx-injected: yes\\u2028\\x1b[31m"'
      for (const change of [
        `contentType: ${nasty}`,
        `reason: ${nasty}`,
        `headers: [['x-value', ${nasty}], [${nasty}, 'name'], ['x-sound', 'yes']]`,
      ]) {
        const code = `socket.write(answers({ ...answer(${id}, 'mine'), ${change} }))`
        const { status, text, headers } = await fake.ask(code)
        assert.deepEqual([status, text, headers.get('x-injected')], [200, 'mine', null], change)
      }
      assertError(await fake.ask(`socket.write(frame({ code: 503, message: ${nasty} }))`), 503)
      await assertViolation(fake, `socket.write(answers(answer(${id} + '\\0', 'foreign')))`)
    })
  },
)

row('P08', 'a worker that speaks without being asked is killed', async (server) => {
  const unasked = async (service: string): Promise<void> => {
    const archive = fakePythonModel(server.store, 'unasked', service)
    const query = new URLSearchParams({ url: path.basename(archive), model_name: 'unasked' })
    const { status, text } = await server.call('POST', `/models?${query.toString()}`)
    // The first frame that comes may be taken for the reply to the load.
    assert.ok(status === 200 || status >= 500, text)
    if (status === 200) {
      const isKilled = ({ model, cause }: Record<string, unknown>): boolean =>
        model === 'unasked' &&
        /violated the worker protocol \(.*without a request/.test(String(cause))
      await server.logged(isKilled)
      await server.unregister('unasked')
    }
    rmSync(archive)
  }
  await unasked(
    'onConnect = (socket) => socket.write(Buffer.concat(Array.from({ length: 1000 }, () => frame({}))))',
  )
  await unasked(
    'onLoad = (socket) => socket.write(Buffer.concat([frame({}), answers(answer("a", "b"))]))',
  )
  await unasked('onConnect = (socket) => socket.write(frame({}))')
  await withFake(server, async (fake) => {
    for (const when of ['setTimeout', 'setImmediate']) {
      const pid = await fake.pid()
      const code = `${MINE}; ${when}(() => { for (let i = 0; i < 1000; i++) socket.write(frame({})) }, 50)`
      assert.equal((await fake.ask(code)).text, 'mine')
      await until(() => !isAlive(pid))
      await assertServesOwn(fake)
    }
  })
})

test(
  'P09 a worker that never reads costs no more memory than the budget',
  { timeout: 120_000 },
  async (t) => {
    const bodyBytes = size(2, 10) * MIB
    const requests = size(30, 100)
    const budgetMib = size(16, 64)
    const server = await startLaboratory(t, {
      settings: {
        python,
        maxBodyBytes: 16 * MIB,
        memoryBudgetMib: budgetMib,
        accessLog: false,
        responseTimeout: 60,
      },
    })
    const held = heldBy(server)
    const body = Buffer.alloc(bodyBytes, 'x')
    const statuses: number[] = []
    let all: Promise<void>[] = []
    // Its socket takes some hundred KiB; the rest of the first body waits in the front-end.
    const service = `const describe = onDescribe
      onDescribe = (socket, requests) => { describe(socket, requests); socket.pause() }`
    await withFake(
      server,
      async (fake) => {
        const before = residentBytes([server.pid])
        let peak = before
        all = Array.from({ length: requests }, async () => {
          const request = { path: `/predictions/${fake.name}`, body }
          const { status } = await sendRaw(server.inferenceUrl, request)
          statuses.push(status)
          peak = Math.max(peak, residentBytes([server.pid]))
        })
        const mayHold = Math.floor((budgetMib * MIB) / bodyBytes)
        await until(() => statuses.length >= requests - mayHold, 60_000)
        assert.deepEqual([...new Set(statuses)], [503], 'what is beyond the budget is 503')
        // Node keeps some of what it freed.
        const grown = (peak - before) / MIB
        assert.ok(grown < 2 * budgetMib + 64, `${grown} MiB more`)
      },
      { service },
    )
    // The others are let go with the model, or come to the end of their bodies when it is gone.
    await Promise.all(all)
    assert.ok(
      statuses.every((status) => status >= 500 || status === 404),
      statuses.join(),
    )
    await assertUnharmed(server, held)
  },
)

row('P10', 'nobody else can speak to a worker', async (server) => {
  const folder = runtimeFolder(server)
  const sockets = listing(folder).filter((name) => name.endsWith('w.sock'))
  assert.deepEqual(statSync(folder).mode & 0o777, 0o700)
  await withFake(server, async (fake) => {
    await assertServesOwn(fake)
    // Ours takes one connection and then has no listener.
    for (const name of sockets)
      assert.equal(await connectTo(path.join(folder, name)), 'ECONNREFUSED')
    for (const name of listing(folder).filter((each) =>
      statSync(path.join(folder, each)).isSocket(),
    )) {
      if (needsOtherUser !== false) break
      assert.equal(connectAsNobody(path.join(folder, name)), 'EACCES', name)
    }
  })
})

async function connectTo(socketPath: string): Promise<string> {
  const socket = createConnection(socketPath)
  const [error] = (await Promise.race([once(socket, 'connect'), once(socket, 'error')])) as [
    unknown?,
  ]
  socket.destroy()
  return error instanceof Error && 'code' in error ? String(error.code) : 'connected'
}

/** What a process of another user gets. */
function connectAsNobody(socketPath: string): string {
  const code = `const socket = require('node:net').connect(process.argv[1])
    socket.on('connect', () => { console.log('connected'); process.exit() })
    socket.on('error', ({ code }) => console.log(code))`
  const [setpriv, ...args] = [...asUser(65_534), process.execPath, '-e', code, socketPath]
  return execFileSync(setpriv, args, { encoding: 'utf8', cwd: '/' }).trim()
}

test('P11 a worker ends when what comes is not the protocol', async (t) => {
  const modelPath = await modelFolder(t, { 'service.mjs': 'export const handle = () => ["x"]' })
  const load = Buffer.concat(encodeLoad(loadRequest({ modelPath }), 'mms'))
  const predict = Buffer.concat(encodePredict([wireRequest([['body', 'x']])]))
  const int = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value | 0)
    return bytes
  }
  /** A predict frame up to the length of its only value. */
  const head = predict.subarray(0, predict.length - 13)
  const hostile: [what: string, bytes: Buffer][] = [
    ['garbage', Buffer.alloc(4096, 0xa5)],
    ['an unknown command', Buffer.from('U')],
    ['a command of NUL', Buffer.of(0)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a name of 2 GiB', Buffer.concat([Buffer.from('L'), int(2 ** 31 - 1)])],
    ['an id of 2 GiB', Buffer.concat([Buffer.from('I'), int(2 ** 31 - 1)])],
    ['a value of 2 GiB', Buffer.concat([head, int(2 ** 31 - 1)])],
    ['a name that is not UTF-8', Buffer.concat([Buffer.from('L'), int(1), Buffer.of(0xff)])],
    ['an end in the middle of a load', load.subarray(0, 20)],
    ['an end in the middle of a request', predict.subarray(0, -1)],
    ['a request before the load', predict],
  ]
  for (const [index, [what, bytes]] of hostile.entries()) {
    for (const isLoaded of [false, true]) {
      if (isLoaded && what === 'a request before the load') continue
      const isExtra = !isFull && isLoaded !== (index % 2 === 0)
      if (isExtra && what !== 'a request before the load') continue
      const worker = await startWorker(t, { environment: { ONNXD_WORKER_ONCE: '1' } })
      const client = await worker.connect()
      if (isLoaded) assert.equal((await client.load({ modelPath })).code, 200)
      client.send(bytes)
      if (what.startsWith('an end')) client.socket.end()
      const startedAt = performance.now()
      assert.deepEqual(await client.end(), [], what)
      assert.deepEqual(await worker.exited, { code: 1, signal: null }, what)
      assert.ok(performance.now() - startedAt < KILL_MS + NOISE_MS, what)
    }
  }
})

test('P11 a negative length is an empty value, as in the worker of MMS', async (t) => {
  const modelPath = await modelFolder(t, {
    'service.mjs':
      'export const handle = (data) => data && data.map(({ body }) => String(body.length))',
  })
  const worker = await startWorker(t)
  const client = await worker.connect()
  assert.equal((await client.load({ modelPath })).code, 200)
  const predict = Buffer.concat(encodePredict([wireRequest([['body', '']])]))
  for (const length of [-1, -2, -(2 ** 31)]) {
    // The length of the value stands before the two ends of lists.
    const changed = Buffer.from(predict)
    changed.writeInt32BE(length, predict.length - 12)
    client.send(changed)
    assert.equal((await client.reply()).predictions[0]?.body.toString(), '0', String(length))
  }
})
