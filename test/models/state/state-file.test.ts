import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RolloutRecord } from '../../../src/models/rollout/plan.ts'
import { StateFile } from '../../../src/models/state/state-file.ts'
import type { LoadedState } from '../../../src/models/state/state-file.ts'
import {
  SCHEMA_VERSION,
  StateError,
  decodeState,
  encodeState,
} from '../../../src/models/state/state-format.ts'
import type { ServerState } from '../../../src/models/state/state-format.ts'
import { temporaryFolder } from '../../helpers/server.ts'

/** Compiled or not, the helper has the ending of this file. */
const SAVER = fileURLToPath(
  new URL(`../../helpers/state-saver${path.extname(import.meta.url)}`, import.meta.url),
)

/** Each costs the start of a process, a third of a second; `STATE_KILLS=200` for a long run. */
const KILLS = Number(process.env.STATE_KILLS ?? 10)

const ROLLOUT: RolloutRecord = {
  plan: { to: '2', steps: [5, 100], hold: 60, max_error_rate: 0.01, max_p99_ratio: 2 },
  from: ['1.0'],
  before: { labels: { stable: '1.0' } },
  state: 'rolled_back',
  step: 1,
  baseline: { requests: 9, errors: 1, timed: 8, slow: 0, p99_ms: 1.5 },
  events: [{ at: '2026-11-29T19:00:00.000Z', event: 'started', share: 5, reason: 'of a test' }],
}

function stateWith(...urls: string[]): ServerState {
  return {
    models: urls.map((url, index) => ({
      url,
      name: `model-${index}`,
      version: '1.0',
      options: { workers: 2, batchSize: 8 },
      isDefault: true,
    })),
  }
}

function urlsOf({ state }: LoadedState): string[] {
  return state.models.map(({ url }) => url)
}

/** Loads and lets go again. */
async function load(folder: string): Promise<LoadedState> {
  const file = new StateFile(folder)
  const loaded = await file.load()
  await file.close()
  return loaded
}

/** A folder with two generations, `new` and `old`. */
async function twoGenerations(t: TestContext): Promise<string> {
  const folder = path.join(temporaryFolder(t), 'state')
  const file = new StateFile(folder)
  await file.load()
  await file.save(stateWith('old'))
  await file.save(stateWith('new'))
  await file.close()
  return folder
}

const current = (folder: string): string => path.join(folder, 'state.json')
const previous = (folder: string): string => path.join(folder, 'state.previous.json')
const damagedIn = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('state.damaged-'))

/** Names and contents of all files. */
function contentOf(folder: string): Record<string, string> {
  const names = readdirSync(folder).toSorted()
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(path.join(folder, name), 'latin1')]),
  )
}

test('what is saved is loaded again, in a private folder and a private file', async (t) => {
  const folder = path.join(temporaryFolder(t), 'deep', 'state')
  const file = new StateFile(folder)
  assert.deepEqual(await file.load(), { state: { models: [] }, source: 'empty', problems: [] })
  const state: ServerState = {
    models: [
      {
        url: 'https://example.org/ä "b".mar',
        name: 'digits',
        version: '2',
        options: {
          handler: undefined,
          workers: 0,
          batchSize: 4,
          maxBatchDelay: 10,
          responseTimeout: 60,
          loadOnDemand: true,
        },
        isDefault: false,
        sha256: 'a'.repeat(64),
        file: 'digits-2.mar',
      },
      ...stateWith('digits.onnx').models,
    ],
    rollouts: [{ name: 'digits', rollout: ROLLOUT }],
  }
  await file.save(state)
  await file.close()
  await file.close()
  const loaded = await load(folder)
  assert.equal(loaded.source, 'current')
  assert.deepEqual(loaded.problems, [])
  assert.deepEqual(loaded.state, JSON.parse(JSON.stringify(state)))
  assert.deepEqual(readdirSync(folder), ['state.json'], 'no lock and no temporary file is left')
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal(statSync(current(folder)).mode & 0o777, 0o600)
})

test('a state of version 4 is read with its times in the units of today', () => {
  const options = {
    batchSize: 4,
    maxBatchDelayMs: 10,
    responseTimeoutMs: 60_000,
    startupTimeoutMs: 5000,
  }
  const [model] = stateWith('digits.onnx').models
  const state = { models: [{ ...model, options }] }
  const checksum = createHash('sha256')
    .update(JSON.stringify([4, 'then', state]))
    .digest('hex')
  const decoded = decodeState(
    JSON.stringify({ schemaVersion: 4, savedAt: 'then', checksum, state }),
  )
  assert.ok(decoded.kind === 'good')
  assert.deepEqual(JSON.parse(JSON.stringify(decoded.state.models[0]?.options)), {
    batchSize: 4,
    maxBatchDelay: 10,
    responseTimeout: 60,
    startupTimeout: 5,
  })
})

test('saving keeps the generation before', async (t) => {
  const folder = await twoGenerations(t)
  const old = decodeState(readFileSync(previous(folder), 'utf8'))
  assert.ok(old.kind === 'good')
  assert.deepEqual(old.state, stateWith('old'))
  assert.deepEqual(urlsOf(await load(folder)), ['new'])
})

test('a file cut off at any byte gives the generation before and is kept', async (t) => {
  const folder = await twoGenerations(t)
  const whole = readFileSync(current(folder))
  // Without the newline at its end it is still whole.
  for (let length = 0; length < whole.length - 1; length++) {
    writeFileSync(current(folder), whole.subarray(0, length))
    const loaded = await load(folder)
    assert.equal(loaded.source, 'previous', `cut at ${length}`)
    assert.deepEqual(urlsOf(loaded), ['old'])
    const [kept = '', ...others] = damagedIn(folder)
    assert.equal(others.length, 0)
    assert.deepEqual(readFileSync(path.join(folder, kept)), whole.subarray(0, length))
    assert.ok(loaded.problems.some((problem) => problem.includes(kept)))
    rmSync(path.join(folder, kept))
  }
})

test('no flipped bit goes unnoticed', () => {
  const text = encodeState(stateWith('digits.onnx'), '2026-01-02T03:04:05.678Z')
  assert.equal(decodeState(text).kind, 'good')
  const kinds = new Map<string, number>()
  const bytes = Buffer.from(text)
  for (let bit = 0; bit < (bytes.length - 1) * 8; bit++) {
    const index = bit >> 3
    const byte = bytes[index] ?? 0
    bytes[index] = byte ^ (1 << (bit & 7))
    const { kind } = decodeState(bytes.toString('utf8'))
    assert.notEqual(kind, 'good', `bit ${bit & 7} of byte ${index}`)
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    bytes[index] = byte
  }
  // No flipped bit makes a larger digit of the 7 of the version.
  assert.deepEqual([...kinds.keys()], ['damaged'])
})

test('the state of the schemas before is read', () => {
  const state = stateWith('digits.onnx')
  for (const schemaVersion of [1, 2, 3, 4, 5, 6]) {
    const checksum = createHash('sha256')
      .update(JSON.stringify([schemaVersion, 'then', state]))
      .digest('hex')
    const decoded = decodeState(JSON.stringify({ schemaVersion, savedAt: 'then', checksum, state }))
    assert.ok(decoded.kind === 'good')
    assert.deepEqual(decoded.state, state)
  }
})

test('flipped bits, random bytes and states with a right checksum but a wrong shape give the generation before', async (t) => {
  const folder = await twoGenerations(t)
  const whole = readFileSync(current(folder))
  const flipped = Buffer.from(whole)
  flipped[whole.length - 40] = (whole[whole.length - 40] ?? 0) ^ 1
  const wrongShape = {
    models: [{ url: '../x', name: '../../etc', version: '1', options: {}, isDefault: true }],
  }
  const checksum = createHash('sha256')
    .update(JSON.stringify([1, 'now', wrongShape]))
    .digest('hex')
  const damages: (Buffer | string)[] = [
    flipped,
    createHash('sha512').update('seed').digest(),
    Buffer.alloc(4096),
    'null',
    '[]',
    '"text"',
    '{}',
    JSON.stringify({ schemaVersion: 0, state: { models: [] } }),
    JSON.stringify({ schemaVersion: '2', state: { models: [] } }),
    JSON.stringify({ schemaVersion: 1, savedAt: 'now', checksum, state: wrongShape }),
  ]
  for (const [index, damage] of damages.entries()) {
    writeFileSync(current(folder), damage)
    const loaded = await load(folder)
    assert.equal(loaded.source, 'previous', `damage ${index}`)
    assert.deepEqual(urlsOf(loaded), ['old'])
    assert.equal(damagedIn(folder).length, index + 1)
  }
})

test('after damage the next save leaves the good generation and the damaged file alone', async (t) => {
  const folder = await twoGenerations(t)
  truncateSync(current(folder), 10)
  const file = new StateFile(folder)
  assert.equal((await file.load()).source, 'previous')
  await file.save(stateWith('newer'))
  const kept = decodeState(readFileSync(previous(folder), 'utf8'))
  assert.ok(kept.kind === 'good' && kept.state.models[0]?.url === 'old')
  await file.close()
  assert.equal(damagedIn(folder).length, 1)
  assert.deepEqual(urlsOf(await load(folder)), ['newer'])
})

test('two damaged files give an empty state, and both are kept', async (t) => {
  const folder = await twoGenerations(t)
  writeFileSync(current(folder), 'x')
  writeFileSync(previous(folder), 'y')
  const loaded = await load(folder)
  assert.equal(loaded.source, 'empty')
  assert.deepEqual(loaded.state, { models: [] })
  assert.equal(loaded.problems.length, 3)
  const kept = damagedIn(folder).map((name) => readFileSync(path.join(folder, name), 'utf8'))
  assert.deepEqual(kept.toSorted(), ['x', 'y'])
})

test('a damaged previous generation is reported while the current one is used', async (t) => {
  const folder = await twoGenerations(t)
  writeFileSync(previous(folder), '')
  const loaded = await load(folder)
  assert.equal(loaded.source, 'current')
  assert.equal(loaded.problems.length, 1)
  assert.equal(damagedIn(folder).length, 1)
})

test('a missing file gives the generation before', async (t) => {
  const folder = await twoGenerations(t)
  rmSync(current(folder))
  const loaded = await load(folder)
  assert.equal(loaded.source, 'previous')
  assert.ok(loaded.problems.length > 0)
})

test('damage that happens while the server runs is kept and reported at the next save', async (t) => {
  const folder = await twoGenerations(t)
  const problems: string[] = []
  const file = new StateFile(folder, (problem) => problems.push(problem))
  await file.load()
  writeFileSync(current(folder), 'scribble')
  await file.save(stateWith('after'))
  await file.close()
  assert.equal(problems.length, 1)
  assert.equal(damagedIn(folder).length, 1)
  assert.deepEqual(urlsOf(await load(folder)), ['after'])
})

test('a newer version, a link, a folder, a huge file are refused and nothing is touched', async (t) => {
  const newer = JSON.stringify({ schemaVersion: SCHEMA_VERSION + 1, anything: true })
  const cases: [name: string, make: (file: string) => void][] = [
    ['newer', (file) => writeFileSync(file, newer)],
    ['link', (file) => symlinkSync(`${file}.target`, file)],
    ['folder', (file) => mkdirSync(file)],
    ['huge', (file) => (writeFileSync(file, ''), truncateSync(file, 16 * 1024 * 1024 + 1))],
  ]
  for (const [name, make] of cases) {
    for (const place of [current, previous]) {
      const folder = await twoGenerations(t)
      const target = place(folder)
      writeFileSync(`${target}.target`, readFileSync(target))
      rmSync(target)
      make(target)
      const before = name === 'folder' ? readdirSync(folder) : contentOf(folder)
      const file = new StateFile(folder)
      await assert.rejects(file.load(), StateError, name)
      assert.deepEqual(name === 'folder' ? readdirSync(folder) : contentOf(folder), before, name)
      await assert.rejects(
        file.save(stateWith('x')),
        StateError,
        'nothing is saved after a refusal',
      )
      assert.deepEqual(name === 'folder' ? readdirSync(folder) : contentOf(folder), before, name)
    }
  }
})

test('a file of a newer version that appears while the server runs is not overwritten', async (t) => {
  const folder = await twoGenerations(t)
  const file = new StateFile(folder)
  await file.load()
  const newer = JSON.stringify({ schemaVersion: SCHEMA_VERSION + 1 })
  writeFileSync(current(folder), newer)
  await assert.rejects(file.save(stateWith('x')), StateError)
  assert.equal(readFileSync(current(folder), 'utf8'), newer)
  await file.close()
})

test(
  'an unreadable file is refused',
  { skip: process.getuid?.() === 0 ? 'root can read everything' : false },
  async (t) => {
    const folder = await twoGenerations(t)
    chmodSync(current(folder), 0)
    await assert.rejects(load(folder), StateError)
    chmodSync(current(folder), 0o600)
    assert.deepEqual(urlsOf(await load(folder)), ['new'])
  },
)

test('a folder that others may write to is reported', async (t) => {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o777)
  const { source, problems } = await load(folder)
  assert.equal(source, 'empty')
  assert.equal(problems.length, 1)
})

test('saves at the same time become one write of the newest state', async (t) => {
  const folder = temporaryFolder(t)
  const file = new StateFile(folder)
  await file.load()
  const saves = Array.from({ length: 200 }, (_, index) =>
    file.save(stateWith(`m-${index}`)).then(async () => {
      const written = decodeState(readFileSync(current(folder), 'utf8'))
      assert.ok(written.kind === 'good')
      const number = Number(written.state.models[0]?.url.slice(2))
      assert.ok(number >= index, `save ${index} settled with ${number} on the disk`)
    }),
  )
  await Promise.all(saves)
  await file.close()
  assert.deepEqual(urlsOf(await load(folder)), ['m-199'])
  assert.equal(existsSync(previous(folder)), false, 'one write for all of them')
})

test('what is saved while a write runs becomes the next one write', async (t) => {
  const folder = temporaryFolder(t)
  const file = new StateFile(folder)
  await file.load()
  const first = file.save(stateWith('first'))
  await new Promise((resolve) => setImmediate(resolve))
  await Promise.all([first, ...['second', 'third', 'last'].map((url) => file.save(stateWith(url)))])
  await file.close()
  assert.deepEqual(urlsOf(await load(folder)), ['last'])
  const old = decodeState(readFileSync(previous(folder), 'utf8'))
  assert.ok(old.kind === 'good' && old.state.models[0]?.url === 'first')
})

test('a failed save leaves the state before and does not stop the next', async (t) => {
  const folder = temporaryFolder(t)
  const file = new StateFile(folder)
  await file.load()
  await file.save(stateWith('good'))
  const [model] = stateWith('bad').models
  assert.ok(model)
  await assert.rejects(file.save({ models: [{ ...model, name: '../escape' }] }), StateError)
  await assert.rejects(file.save({ models: [{ ...model, file: '../../x' }] }), StateError)
  // In the way of the copy of the generation before.
  mkdirSync(path.join(folder, 'state.previous.json.new'))
  await assert.rejects(file.save(stateWith('blocked')), StateError)
  assert.ok(readFileSync(current(folder), 'utf8').includes('"good"'))
  rmSync(path.join(folder, 'state.previous.json.new'), { recursive: true })
  await file.save(stateWith('next'))
  await file.close()
  assert.deepEqual(urlsOf(await load(folder)), ['next'])
})

test('a disk that takes only a part of a state keeps the one before', async (t) => {
  const folder = await twoGenerations(t)
  // A limit of 512 bytes for a file: the kernel writes so much and says so, as on a full disk.
  const script = `ulimit -f 1 && exec "$0" "$1" "$2" 7 ${'x'.repeat(2000)}`
  const child = spawn('sh', ['-c', script, process.execPath, SAVER, folder], { stdio: 'ignore' })
  const [code] = await once(child, 'close')
  assert.equal(code, 1)
  const loaded = await load(folder)
  assert.equal(loaded.source, 'current')
  assert.deepEqual(loaded.problems, [])
  assert.deepEqual(urlsOf(loaded), ['new'])
})

test('what a kill leaves between two steps of a save is cleaned up', async (t) => {
  const folder = await twoGenerations(t)
  writeFileSync(path.join(folder, 'state.json.123456'), 'half')
  linkSync(current(folder), `${previous(folder)}.new`)
  // Both names for one file: the moment between the copy and the new generation.
  rmSync(previous(folder))
  linkSync(current(folder), previous(folder))
  const file = new StateFile(folder)
  assert.equal((await file.load()).source, 'current')
  await file.save(stateWith('next'))
  await file.close()
  assert.deepEqual(readdirSync(folder).toSorted(), ['state.json', 'state.previous.json'])
  const old = decodeState(readFileSync(previous(folder), 'utf8'))
  assert.ok(old.kind === 'good' && old.state.models[0]?.url === 'new')
})

test('a folder has one server at a time', async (t) => {
  const folder = temporaryFolder(t)
  const first = new StateFile(folder)
  await first.load()
  await assert.rejects(load(folder), StateError)
  await first.save(stateWith('mine'))
  await first.close()
  assert.deepEqual(urlsOf(await load(folder)), ['mine'])
  // Of another process that runs.
  const child = spawn(process.execPath, [SAVER, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  await assert.rejects(load(folder), new RegExp(`process id ${child.pid ?? 0}`))
  child.kill('SIGKILL')
  await exited
  assert.equal((await load(folder)).source, 'current', 'the lock of a killed server is taken over')
})

test('a folder with a path that is too long for sockets has one server at a time too', async (t) => {
  const folder = path.join(temporaryFolder(t), 'x'.repeat(120))
  const first = new StateFile(folder)
  await first.load()
  await assert.rejects(load(folder), /in use by another server/)
  await first.close()
  assert.equal((await load(folder)).source, 'empty')
  assert.deepEqual(readdirSync(folder), [])
})

test('claims of processes that are gone, or whose id is another process now, are taken over', async (t) => {
  const folder = temporaryFolder(t)
  const stale = [`lock-${process.ppid}-00000000.1`, 'lock-4194305-abcdef01.77', 'lock-1-unknown']
  for (const name of stale) writeFileSync(path.join(folder, name), '')
  await load(folder)
  for (const name of stale) assert.equal(existsSync(path.join(folder, name)), false, name)
})

test('a server killed while it saves has lost nothing it acknowledged', async (t) => {
  const folder = temporaryFolder(t)
  let next = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const child = spawn(process.execPath, [SAVER, folder, String(next)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = next - 1
    const lines = createInterface({ input: child.stdout })
    // Somewhere inside the save that follows the first, second or third acknowledgement.
    const last = next + (kill % 3)
    lines.on('line', (line) => {
      acknowledged = Number(line)
      // Each kill hits another moment of the save.
      if (acknowledged === last) setTimeout(() => child.kill('SIGKILL'), (kill % 10) * 0.4)
    })
    await once(child, 'close')
    const loaded = await load(folder)
    assert.equal(loaded.source, 'current', loaded.problems.join(' '))
    assert.deepEqual(loaded.problems, [])
    const [url = ''] = urlsOf(loaded)
    const found = Number(url.slice(2))
    assert.ok(
      found === acknowledged || found === acknowledged + 1,
      `kill ${kill}: ${acknowledged} was acknowledged, ${found} is there`,
    )
    next = found + 1
  }
  assert.ok(next >= KILLS)
  assert.deepEqual(readdirSync(folder).toSorted(), ['state.json', 'state.previous.json'])
})
