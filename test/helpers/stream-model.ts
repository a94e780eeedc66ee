/** A model folder with a handler that streams what the text of each request says. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { temporaryFolder } from './server.ts'
import type { Cleanup } from './server.ts'

/** The file `service.mjs` of the model. */
export const STREAM_SERVICE = `
import { appendFileSync, existsSync } from 'node:fs'
import { Readable } from 'node:stream'
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const opened = async (file) => { while (!existsSync(file)) await delay(5) }
const verbs = {
  async *count(n) { for (let i = 1; i <= Number(n); i++) yield { i } },
  async *texts(json) { yield* JSON.parse(json) },
  async *bytes(hex) { for (const one of hex.split(',')) yield Buffer.from(one, 'hex') },
  async *nothing() {},
  async *throws() { throw new Error('before the first chunk') },
  async *declines() { throw Object.assign(new Error('not today'), { name: 'PredictionException', code: 422 }) },
  async *breaks(ms) { yield { i: 1 }; await delay(Number(ms)); throw new Error('after the first chunk') },
  async *bad() { yield { i: 1 }; yield { i: 1n } },
  async *large(bytes) { yield 'small'; yield Buffer.alloc(Number(bytes), 97) },
  async *hangs() { yield 'one'; await new Promise(() => {}) },
  async *paced(ms) { for (let i = 1; i <= 5; i++) { yield { i }; await delay(Number(ms)) } },
  async *gate(file) { yield { pid: process.pid }; await opened(file); yield 'last' },
  async *flood(file) {
    const chunk = Buffer.alloc(65536, 97)
    try { for (;;) { appendFileSync(file, '.'); yield chunk } } finally { appendFileSync(file, 'end') }
  },
  *never(file) { try { for (;;) yield 'x' } finally { appendFileSync(file, 'end') } },
  async *signal(file, index, context) {
    const signal = context.getSignal(index)
    yield 'one'
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    appendFileSync(file, 'end')
  },
  *sync() { yield 'a'; yield 'b' },
  web() { return new ReadableStream({ start(c) { c.enqueue('a'); c.enqueue('b'); c.close() } }) },
  readable() { return Readable.from(['a', 'b']) },
  plain() { return 'plain' },
  async *typed(type, index, context) { context.setResponseContentType(index, type); yield 'event: own\\ndata: 1\\n\\n' },
  async *status(code, index, context) {
    context.setResponseStatus(Number(code), '', index)
    context.setResponseHeader(index, 'x-own', 'yes')
    context.setResponseHeader(index, 'ts_stream_next', 'true')
    yield 'as told'
  },
}
export function handle(data, context) {
  if (data === undefined) return
  return data.map(({ body }, index) => {
    const [verb, argument = ''] = String(body).split(/:(.*)/s)
    return verbs[verb || 'sync'](argument, index, context)
  })
}
`

/** Writes the folder of a model called `name` and returns its path. */
export function streamModel(t: Cleanup, name: string, settings: object = {}): string {
  const folder = path.join(temporaryFolder(t), name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'service.mjs'), STREAM_SERVICE)
  const model = { handler: 'service.mjs:handle', ...settings }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(model))
  return folder
}
