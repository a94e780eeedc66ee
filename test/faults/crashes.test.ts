/**
 * Block O, row O16: the server is killed at random moments. Its saved state must be the one that it
 * has acknowledged.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { randomNumbers } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { iris, processesNaming, sizeOf, startProcess } from '../helpers/server-process.ts'
import type { Answer, ServerProcess } from '../helpers/server-process.ts'
import { listing, temporaryFolder, until } from '../helpers/server.ts'
import { size } from './harness.ts'

const CRASHES = size(2, sizeOf('ONNXD_FAULT_CRASHES', 200))
/** The longest life of a server, milliseconds. */
const MAX_LIFE_MS = 400
const NAMES = ['a', 'b', 'c', 'd']
/** Registrations with a worker take long; one in so many is enough. */
const WORKER_EVERY = 6

/** What is registered: the versions of a model, and its default. */
interface Model {
  readonly versions: readonly string[]
  readonly defaultVersion: string
}

type State = Readonly<Record<string, Model>>

/** One operation, and the state after it where it is accepted. */
interface Operation {
  readonly text: string
  readonly send: (server: ServerProcess) => Promise<Answer>
  readonly after: State
}

function register(state: State, name: string, version: string, workers: number): Operation {
  const { versions = [], defaultVersion = version } = state[name] ?? {}
  const query = `model_name=${name}&model_version=${version}&initial_workers=${workers}`
  return {
    text: `register ${name} ${version} with ${workers} workers`,
    send: (server) => server.call('POST', `/models?url=${iris}&${query}`),
    after: { ...state, [name]: { versions: [...versions, version].toSorted(), defaultVersion } },
  }
}

function upload(state: State, name: string): Operation {
  const form = new FormData()
  for (const [field, value] of [
    ['model_name', name],
    ['initial_workers', '0'],
  ] as const)
    form.set(field, value)
  const network = readFileSync(path.join(iris, 'model.onnx'))
  form.set('model', new Blob([network]), 'model.onnx')
  return {
    text: `upload ${name}`,
    send: (server) => server.call('POST', '/models', form),
    after: { ...state, [name]: { versions: ['1.0'], defaultVersion: '1.0' } },
  }
}

function unregister(state: State, name: string): Operation {
  const { [name]: _, ...others } = state
  return {
    text: `unregister ${name}`,
    send: (server) => server.call('DELETE', `/models/${name}`),
    after: others,
  }
}

function setDefault(state: State, name: string, { versions }: Model, version: string): Operation {
  return {
    text: `make ${version} the default of ${name}`,
    send: (server) => server.call('PUT', `/models/${name}/${version}/set-default`),
    after: { ...state, [name]: { versions, defaultVersion: version } },
  }
}

/** Something that the server accepts in this state. */
function chooseOperation(state: State, random: RandomNumbers): Operation {
  const name = NAMES[random.integer(0, NAMES.length - 1)] ?? ''
  const model = state[name]
  const workers = random.integer(1, WORKER_EVERY) === 1 ? 1 : 0
  if (model === undefined) {
    return random.integer(0, 3) === 0 ? upload(state, name) : register(state, name, '1', workers)
  }
  const [version = ''] = model.versions.filter((other) => other !== model.defaultVersion)
  if (version === '' && !model.versions.includes('1.0') && random.integer(0, 1) === 0)
    return register(state, name, '2', workers)
  if (version !== '' && random.integer(0, 1) === 0) return setDefault(state, name, model, version)
  return unregister(state, name)
}

/** What a server says is registered. */
async function observe(server: ServerProcess): Promise<State> {
  const read = async (route: string): Promise<unknown> => {
    const { status, text } = await server.call('GET', route)
    assert.equal(status, 200, text)
    return JSON.parse(text)
  }
  const list = (await read('/models')) as { models: { modelName: string }[]; failed?: unknown }
  assert.equal(list.failed, undefined)
  const state: Record<string, Model> = {}
  for (const { modelName } of list.models) {
    const all = (await read(`/models/${modelName}/all`)) as { modelVersion: string }[]
    const one = (await read(`/models/${modelName}`)) as { modelVersion: string }
    const versions = all.map(({ modelVersion }) => modelVersion).toSorted()
    state[modelName] = { versions, defaultVersion: one.modelVersion }
  }
  return state
}

const textOf = (state: State): string =>
  JSON.stringify(Object.entries(state).toSorted(([one], [other]) => one.localeCompare(other)))
const filesKept = (stateFolder: string): number =>
  existsSync(path.join(stateFolder, 'models'))
    ? readdirSync(path.join(stateFolder, 'models')).length
    : 0
const uploads = (state: State): number =>
  Object.values(state).filter(({ versions }) => versions.includes('1.0')).length

test(
  'O16 a server that is killed at any moment knows after its restart what it has acknowledged, and leaves no process',
  { timeout: size(120_000, 1_800_000) },
  async (t) => {
    const folder = temporaryFolder(t)
    const stateFolder = path.join(folder, 'state')
    const random = randomNumbers(3)
    const start = (): Promise<ServerProcess> =>
      startProcess(t, folder, ['--state-dir', stateFolder, '--allow-local-paths'])
    let state: State = {}
    let acknowledged = 0
    let inFlight = 0
    for (let crash = 0; crash < CRASHES; crash += 1) {
      const server = await start()
      // The first request loads code, which takes a busy machine longer than the life that is left.
      assert.equal((await server.call('POST', '/models?url=absent.onnx')).status, 404)
      let isKilled = false
      const killed = new Promise((resolve) =>
        setTimeout(resolve, random.integer(0, MAX_LIFE_MS)),
      ).then(() => {
        isKilled = true
        return server.kill()
      })
      let pending: Operation | undefined
      while (!isKilled) {
        pending = chooseOperation(state, random)
        const answer = await pending.send(server).catch(() => undefined)
        if (answer === undefined) break
        assert.equal(answer.status, 200, `${pending.text}: ${answer.text}`)
        state = pending.after
        pending = undefined
        acknowledged += 1
      }
      await killed
      await until(() => processesNaming(folder).length === 0)

      const next = await start()
      const found = await observe(next)
      const allowed = [state, ...(pending === undefined ? [] : [pending.after])].map(textOf)
      assert.ok(
        allowed.includes(textOf(found)),
        `after crash ${crash}, ${pending?.text ?? 'nothing'} in flight: ${textOf(found)} is none of ${allowed.join(' and ')}`,
      )
      assert.equal(filesKept(stateFolder), uploads(found))
      if (pending !== undefined) inFlight += 1
      state = found
      await next.kill()
      await until(() => processesNaming(folder).length === 0)
    }
    t.diagnostic(`${acknowledged} operations acknowledged, ${inFlight} crashes with one in flight`)
    const last = await start()
    await last.close()
    assert.deepEqual(listing(last.temporary), [])
    const files = listing(stateFolder).filter((name) => !name.startsWith('models'))
    // On a slow machine every server may be killed before its second save.
    const first = acknowledged > 1 ? [] : ['state.json']
    assert.deepEqual(files, files.length === 1 ? first : ['state.json', 'state.previous.json'])
  },
)
