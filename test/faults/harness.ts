/**
 * The fault plan: rows with a letter and a number, `W01` to `L05`, in blocks. All rows of a block
 * run against one server, and after each row the server must be as it was before.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Settings } from '../../src/config/config.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { allWorkerPids } from '../helpers/observe.ts'
import { FLOWER, iris, openFiles, processTree } from '../helpers/server-process.ts'
import {
  flagsOf,
  isFurtherHttpProcess,
  listing,
  start,
  temporaryFolder,
  until,
} from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { readySpares, spareCount } from '../helpers/spares.ts'

/** True under `npm run test:faults`; `npm test` runs the same rows at a small size. */
export const isFull = process.env.ONNXD_FAULTS === 'full'

/** The size of an attack: `quick` under `npm test`, `full` under `npm run test:faults`. */
export const size = (quick: number, full: number): number => (isFull ? full : quick)

/** The server under attack. Its requests leave no idle connection behind. */
export interface Laboratory extends TestServer {
  /** Folder from which models can be registered by name. */
  readonly store: string
  /** Sends a request to a management path and reads the response. */
  call(method: string, route: string, body?: FormData | string): Promise<Answer>
  /** Sends a prediction to a model and reads the response. `body` is sent as text. */
  predict(model: string, body: string, headers?: Record<string, string>): Promise<Answer>
  /** Registers what is in the store, or at an allowed path, as `name`. Fails unless that works. */
  register(name: string, url: string, parameters?: Record<string, string>): Promise<void>
  /** Unregisters a model. Fails unless that works. */
  unregister(name: string): Promise<void>
}

/** A response that was read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** What the server of a block is started with. */
export interface BlockOptions {
  /** Added to the small limits that the plan asks for. */
  readonly settings?: Settings
  /** Models to load at the start, besides the reference model. */
  readonly models?: (cleanup: Cleanup) => string[]
  readonly environment?: NodeJS.ProcessEnv
}

/** What a row may ask for. */
export interface RowOptions {
  /** The row needs minutes or much memory: it runs under `npm run test:faults` only. */
  readonly onlyFull?: boolean
  readonly skip?: string | false
  /** Milliseconds after which the row fails. */
  readonly timeout?: number
}

/** Defines a row of the plan. */
type DefineRow = (
  id: string,
  title: string,
  run: (server: Laboratory, t: TestContext) => Promise<void>,
  options?: RowOptions,
) => void

const DRAIN_SECONDS = 3
const SMALL_LIMITS: Settings = {
  maxBodyBytes: 1 << 20,
  maxJsonBytes: 1 << 20,
  maxModelBytes: 64 << 20,
  responseTimeout: 2,
  loadTimeout: 10,
  drainTimeout: DRAIN_SECONDS,
  stopDelay: 0,
  allowHandlers: true,
  allowLocalPaths: true,
  load: 'none',
  logLevel: 'debug',
}
const REFERENCE = 'reference'
const REFERENCE_RESPONSE = /"label":\["setosa"\],"probabilities":\[\[0\.9972/
/** Descriptors that may be on their way: a connection just closed, a pipe just opened. */
const DESCRIPTOR_TOLERANCE = 2
/** Time for what a row left to be closed and removed. */
const SETTLE_MS = 10_000
/** Made by the first upload; it stays when it is empty again. */
const FOLDER_OF_UPLOADS = /^onnxd-[^/]+\/models$/
/** An error text must not tell where a file lies, what the stack was, or which socket is used. */
const TELLS_TOO_MUCH = /\/(?:tmp|root|home|usr|var|work)\/|\n\s+at |\.sock\b|node_modules/

/**
 * A block of rows against one server, which starts with the first row. After each row the server
 * must have the same pid, respond to `/ping` and to the reference model, and hold no descriptor,
 * process or file that it did not hold before. Its stderr must consist of JSON lines.
 */
export function block(options: BlockOptions = {}): DefineRow {
  let started: Promise<{ server: Laboratory; baseline: Held }> | undefined
  const cleanup = cleanupOfFile()
  return (id, title, run, { onlyFull = false, ...testOptions } = {}) => {
    if (onlyFull && !isFull) return
    void test(`${id} ${title}`, { timeout: 60_000, ...testOptions }, async (t) => {
      started ??= startBlock(cleanup, options)
      const { server, baseline } = await started
      await run(server, t)
      await assertUnharmed(server, baseline)
    })
  }
}

/** Defines rows that look at one HTTP process; see `oneProcess`. */
export function rowsOfOneProcess(row: DefineRow, subject: string): DefineRow {
  return (id, title, run, options) => row(id, title, run, { skip: oneProcess(subject), ...options })
}

/**
 * One server with the small limits of the plan, for several tests of a file that change nothing.
 */
export function sharedLaboratory(options: BlockOptions): () => Promise<Laboratory> {
  let started: Promise<Laboratory> | undefined
  const cleanup = cleanupOfFile()
  return () => (started ??= startLaboratory(cleanup, options))
}

/** Starts a server with the small limits of the plan, for a row that needs one of its own. */
export async function startLaboratory(
  t: Cleanup,
  { settings = {}, models = () => [], environment = {} }: BlockOptions = {},
): Promise<Laboratory> {
  const store = path.join(temporaryFolder(t), 'store')
  mkdirSync(store)
  const flags: Settings = {
    port: 0,
    managementPort: 0,
    modelStore: store,
    ...SMALL_LIMITS,
    ...settings,
  }
  const args = [...flagsOf(flags), `${REFERENCE}=${iris}`, ...models(t)]
  return laboratory(await start(t, args, { environment }, DRAIN_SECONDS), store)
}

/** Runs what is registered after the last test of the file. */
function cleanupOfFile(): Cleanup {
  const cleanups: (() => unknown)[] = []
  after(async () => {
    for (const run of cleanups.toReversed()) await run()
  })
  return { after: (run) => cleanups.push(run as () => unknown) }
}

function laboratory(server: TestServer, store: string): Laboratory {
  // An idle connection would count as a descriptor of the server.
  const once = (init: RequestInit = {}): RequestInit => {
    const headers = new Headers(init.headers)
    headers.set('connection', 'close')
    return { ...init, headers }
  }
  const call: Laboratory['call'] = async (method, route, body) =>
    answerOf(await server.manage(route, once(body === undefined ? { method } : { method, body })))
  const expectOk = ({ status, text }: Answer): void => assert.ok(status < 300, `${status} ${text}`)
  return {
    ...server,
    store,
    fetch: (route, init) => server.fetch(route, once(init)),
    manage: (route, init) => server.manage(route, once(init)),
    call,
    predict: async (model, body, headers = { 'content-type': 'text/plain' }) =>
      answerOf(
        await server.fetch(`/predictions/${model}`, once({ method: 'POST', body, headers })),
      ),
    register: async (name, url, parameters = {}) => {
      const query = new URLSearchParams({ url, model_name: name, ...parameters })
      expectOk(await call('POST', `/models?${query.toString()}`))
    },
    unregister: async (name) => expectOk(await call('DELETE', `/models/${name}`)),
  }
}

/** Fails unless a response is an error of the expected status whose text tells no secrets. */
export function assertError(answer: Answer, ...statuses: number[]): void {
  assert.ok(
    statuses.includes(answer.status),
    `${answer.status}, not ${statuses.join(' or ')}: ${answer.text.slice(0, 500)}`,
  )
  const body = JSON.parse(answer.text) as { code?: unknown; type?: unknown; message?: unknown }
  assert.equal(body.code, answer.status)
  assert.match(String(body.type), /^\w+Exception$/)
  assert.equal(typeof body.message, 'string')
  assert.doesNotMatch(answer.text, TELLS_TOO_MUCH)
}

/** What a server holds of the machine. */
export interface Held {
  readonly descriptors: number
  readonly files: string
}

async function startBlock(
  cleanup: Cleanup,
  options: BlockOptions,
): Promise<{ server: Laboratory; baseline: Held }> {
  const server = await startLaboratory(cleanup, options)
  await assertServes(server)
  const { spareWorkers } = options.settings ?? {}
  if (typeof spareWorkers === 'number') await readySpares(server, spareWorkers)
  return { server, baseline: heldBy(server) }
}

/** What a server holds now, to compare with later. */
export function heldBy(server: Laboratory): Held {
  return {
    descriptors: openFiles(server.pid),
    // A replaced worker has a folder of another number, a replaced HTTP process another folder.
    files: [...listing(server.temporary), ...listing(server.store)]
      .filter((name) => !FOLDER_OF_UPLOADS.test(name))
      .map((name) => name.replaceAll(/\bw\d+\b/g, 'w*'))
      .map((name) =>
        name.replace(/^onnxd-(\d+)-\w+/, (folder, pid) =>
          Number(pid) === server.pid ? folder : 'onnxd-*',
        ),
      )
      .toSorted()
      .join('\n'),
  }
}

/** The conditions that hold after every row. */
export async function assertUnharmed(server: Laboratory, before: Held): Promise<void> {
  await assertServes(server)
  await settled('processes', async () => {
    const known = await allWorkerPids(server)
    const spares = await spareCount(server)
    const running = processTree(server.pid).filter(
      (pid) => pid !== server.pid && !isFurtherHttpProcess(pid),
    )
    // The server does not name its spare workers; it counts them.
    const others = running.filter((pid) => !known.includes(pid))
    const seen = others.length === spares ? [...known, ...others] : known
    return [running.toSorted().join(' '), seen.toSorted().join(' ')]
  })
  await settled('files', () => [heldBy(server).files, before.files])
  await settled('descriptors', () => {
    const now = heldBy(server).descriptors
    const isNear = Math.abs(now - before.descriptors) <= DESCRIPTOR_TOLERANCE
    return [String(isNear ? before.descriptors : now), String(before.descriptors)]
  })
  assert.deepEqual(server.messages, [], 'every line on stderr is JSON')
  const fatal = server.logLines.filter(
    (line) => Number(line.level) >= 60 || /uncaught|unhandled/i.test(String(line.msg)),
  )
  assert.deepEqual(fatal, [])
}

async function assertServes(server: Laboratory): Promise<void> {
  assert.equal((await server.fetch('/ping')).status, 200)
  const answer = await server.fetch(`/predictions/${REFERENCE}`, FLOWER)
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  assert.match(text, REFERENCE_RESPONSE)
}

/** Waits until two values are equal, and shows both when they stay different. */
async function settled(
  what: string,
  compare: () => Promise<[string, string]> | [string, string],
): Promise<void> {
  let values: [string, string] = ['', '']
  const isEqual = async (): Promise<boolean> => {
    values = await compare()
    return values[0] === values[1]
  }
  await until(isEqual, SETTLE_MS).catch(() => assert.equal(...values, what))
}

/** Reads a response to its end. */
export async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, headers: response.headers, text: await response.text() }
}
