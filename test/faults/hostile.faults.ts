/** Blocks Z and M: everything in `../shared/hostile`, while another model is asked all the time. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import {
  assertAllAnswered,
  iris,
  processesNaming,
  sizeOf,
  startLoad,
  startProcess,
} from '../helpers/server-process.ts'
import type { Answer, ServerProcess } from '../helpers/server-process.ts'
import { listing, temporaryFolder, until } from '../helpers/server.ts'
import { needsShared, shared } from '../helpers/shared.ts'

/** Every file, or only so many of each folder. */
const FILES = sizeOf('ONNXD_FAULT_FILES', 1000)
const LOAD_TIMEOUT_S = 10
const MEMORY_MIB = 1024
/** Beyond the load timeout: to start, to kill, to answer. */
const GRACE_MS = 2000
const NEIGHBOUR_PAUSE_MS = 20

const hostile = path.join(shared ?? '', 'hostile')

/** Models that are sound as far as loading goes; what they do to a request is another matter. */
const SOUND = new Set([
  'div_int',
  'fold_cos_1tb',
  'fold_cos_overflow',
  'fold_cos_zero',
  'gather_oob',
  'good',
  'huge_dim_input',
  'mod_int',
  'nest_20',
  'no_nodes',
  'reshape_in',
  'scatter_oob',
  'shape_input',
  'tile_input',
])
/** Models that need much: refused for their time or memory, or served where that is enough. */
const GREEDY = new Map([
  ['chain_100k', [200, 504, 507]],
  ['loop_memory', [504, 507]],
])
/**
 * Served although its weights are a hard link to a file elsewhere. Only users who may write to the
 * store can make a hard link there, stores with shared files contain many of them, and archives and
 * uploads cannot contain one.
 */
const HARD_LINK = 'ext_hard'
/** Archives that would unpack to too much; every other one is refused as invalid. */
const BOMBS = new Set(['bomb_1gb.zip', 'overlap.zip'])

const filesOf = (kind: string): string[] => readdirSync(path.join(hostile, kind)).slice(0, FILES)

async function startGuarded(t: TestContext, folder: string): Promise<ServerProcess> {
  const store = path.join(folder, 'store')
  mkdirSync(store, { recursive: true })
  const limits = ['--load-timeout', `${LOAD_TIMEOUT_S}`, '--worker-memory-mib', `${MEMORY_MIB}`]
  const places = ['--state-dir', path.join(folder, 'state'), '--model-store', store]
  return startProcess(t, folder, [...limits, ...places, '--load', 'none', `iris=${iris}`])
}

function upload(server: ServerProcess, file: string, fileName: string): Promise<Answer> {
  const form = new FormData()
  form.set('model_name', 'hostile')
  form.set('model', new Blob([readFileSync(file)]), fileName)
  return server.call('POST', '/models', form)
}

async function remove(server: ServerProcess): Promise<void> {
  const { status, text } = await server.call('DELETE', '/models/hostile')
  assert.equal(status, 200, text)
}

/**
 * Registers one file after the other while another model is asked. Each is answered as `expected`
 * says, in time, and then there is nothing that was not there before.
 */
async function attack(
  t: TestContext,
  server: ServerProcess,
  folder: string,
  attacks: ReadonlyMap<string, { expected: readonly number[]; send: () => Promise<Answer> }>,
): Promise<ReadonlyMap<string, Answer>> {
  // Folders that are made at the first registration stay, and the state has two generations.
  for (let round = 0; round < 2; round += 1) {
    const { status, text } = await upload(server, path.join(iris, 'model.onnx'), 'm.onnx')
    assert.equal(status, 200, text)
    await remove(server)
  }
  const files = listing(folder)
  const workers = processesNaming(folder).length
  const load = startLoad(`${server.inferenceUrl}/predictions/iris`, 1, NEIGHBOUR_PAUSE_MS)
  const answers = new Map<string, Answer>()
  const problems: string[] = []
  for (const [name, { expected, send }] of attacks) {
    const sentAt = performance.now()
    const answer = await send()
    const tookMs = performance.now() - sentAt
    answers.set(name, answer)
    if (!expected.includes(answer.status)) problems.push(`${name}: ${answer.status} ${answer.text}`)
    if (tookMs > LOAD_TIMEOUT_S * 1000 + GRACE_MS) problems.push(`${name} took ${tookMs} ms`)
    if (answer.text.includes(folder)) problems.push(`${name} tells a path: ${answer.text}`)
    if (answer.status === 200) await remove(server)
    const left = listing(folder)
    if (left.join('\n') !== files.join('\n')) problems.push(`${name} leaves ${left.join(' ')}`)
  }
  await load.stop()
  assert.deepEqual(problems, [])
  assertAllAnswered(load, 1)
  await until(() => processesNaming(folder).length === workers)
  t.diagnostic(`${attacks.size} files, ${load.answers.get(200)} requests to the other model`)
  return answers
}

test(
  'Z everything in ../shared/hostile/zip is refused in words, in time, and writes nothing',
  { skip: needsShared, timeout: 300_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const server = await startGuarded(t, folder)
    const attacks = filesOf('zip').map((name) => {
      const send = (): Promise<Answer> => upload(server, path.join(hostile, 'zip', name), name)
      return [name, { expected: [BOMBS.has(name) ? 413 : 400], send }] as const
    })
    const answers = await attack(t, server, folder, new Map(attacks))
    assert.ok(!existsSync('/etc/evil'))
    // The control is a sound archive that holds no model.
    assert.match(answers.get('ok.zip')?.text ?? 'manifest', /manifest/)
    await server.close()
  },
)

/** The files beside the models: what their external data points to. */
function layBait(folder: string): void {
  const store = path.join(folder, 'store')
  mkdirSync(store)
  const secret = path.join(folder, 'secret')
  writeFileSync(secret, 'secret'.repeat(10))
  writeFileSync(path.join(store, 'w.bin'), Buffer.alloc(16))
  linkSync(secret, path.join(store, 'hard.bin'))
  symlinkSync(secret, path.join(store, 'link.bin'))
  symlinkSync('/etc', path.join(store, 'dlink'))
  for (const name of filesOf('onnx'))
    copyFileSync(path.join(hostile, 'onnx', name), path.join(store, name))
}

test(
  'M everything in ../shared/hostile/onnx is refused or served, in time, and no other model notices',
  { skip: needsShared, timeout: 600_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    layBait(folder)
    const server = await startGuarded(t, folder)
    const attacks = filesOf('onnx').map((file) => {
      const name = file.replace('.onnx', '')
      const isServed = SOUND.has(name) || name === HARD_LINK
      const expected = GREEDY.get(name) ?? [isServed ? 200 : 400]
      const send = (): Promise<Answer> =>
        server.call('POST', `/models?url=${file}&model_name=hostile`)
      return [name, { expected, send }] as const
    })
    await attack(t, server, folder, new Map(attacks))
    await server.close()
  },
)
