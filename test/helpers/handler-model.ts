/**
 * A model folder with a handler that does what the text of each request says, for tests of crashes
 * and timeouts.
 */
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { temporaryFolder, until } from './server.ts'
import type { Cleanup } from './server.ts'

const SERVICE = `
import { appendFileSync, existsSync } from 'node:fs'
export async function handle(data, context) {
  if (data === undefined || data === null) return
  const isBytes = context.getRequestHeader(0, 'x-echo') === 'bytes'
  if (isBytes) return data.map((item) => item.body)
  return Promise.all(data.map((item, index) => perform(String(item.body ?? ''), index, context)))
}
let turns = 0
async function perform(text, index, context) {
  // Who asks learns how many of those who ask came before.
  if ('x-turn' in context.getAllRequestHeader(index)) context.setResponseHeader(index, 'x-turn', String(++turns))
  const [verb, argument = ''] = text.split(/:(.*)/s)
  switch (verb) {
    case 'echo': return argument
    case 'pid': return { pid: process.pid }
    case 'sleep': await new Promise((resolve) => setTimeout(resolve, Number(argument))); return 'slept'
    case 'wait': appendFileSync(argument + '.held', '.'); while (!existsSync(argument)) await new Promise((resolve) => setTimeout(resolve, 5)); return 'waited'
    case 'spin': for (;;) {}
    case 'exit': process.exit(Number(argument))
    case 'signal': process.kill(process.pid, argument); await new Promise(() => {})
    case 'throw': throw new Error(argument)
    case 'later': setTimeout(() => { throw new Error('thrown later') }, 10); await new Promise(() => {})
    case 'status': { const [code, phrase] = argument.split(','); context.setResponseStatus(Number(code), phrase ?? '', index); return 'as told' }
    case 'header': { const [name, value] = JSON.parse(argument); context.setResponseHeader(index, name, value); return 'as told' }
    case 'type': context.setResponseContentType(index, argument); return 'as told'
    case 'environment': return { ...process.env }
    case 'heap': { const kept = []; for (;;) kept.push(new Array(1e6).fill(0.5)) }
    case 'output': process.stdout.write('x'.repeat(Number(argument)) + '\\n'); return 'printed'
    case 'metric': { const [method, ...values] = JSON.parse(argument); context.metrics[method](...values); return 'taken' }
    case 'print': process.stdout.write(argument + '\\n'); return 'printed'
    case 'child': { const { spawn } = await import('node:child_process'); return { pid: spawn('sleep', ['300']).pid } }
    case 'connect': {
      const { connect } = await import('node:net')
      return new Promise((resolve) => {
        const socket = connect(Number(argument), '127.0.0.1')
        socket.on('connect', () => { socket.destroy(); resolve('connected') })
        socket.on('error', (error) => resolve(error.code))
      })
    }
    case 'read': { const { readFileSync } = await import('node:fs'); try { return readFileSync(argument).length } catch (error) { return error.code } }
    case 'shell': { const { execFile } = await import('node:child_process'); return new Promise((resolve) => execFile('/bin/sh', ['-c', argument], (_error, stdout) => resolve(stdout))) }
    case 'batch': return { size: context.requestProcessor.length }
    case 'headers': return context.getAllRequestHeader(index)
    case 'data': return 'data'
    default: return 'unknown verb'
  }
}
`

/** Writes the folder of a model called `name` and returns its path. */
export function handlerModel(t: Cleanup, name: string, settings: object = {}): string {
  const folder = path.join(temporaryFolder(t), name)
  mkdirSync(path.join(folder, 'MAR-INF'), { recursive: true })
  writeFileSync(path.join(folder, 'service.mjs'), SERVICE)
  writeFileSync(
    path.join(folder, 'model.json'),
    JSON.stringify({ handler: 'service.mjs:handle', ...settings }),
  )
  return folder
}

/** Blocks the requests `wait:<path>` until the test opens it. */
export interface Gate {
  readonly path: string
  /** Resolves when workers hold `count` requests. */
  holds(count: number): Promise<unknown>
  open(): void
}

export function newGate(t: Cleanup): Gate {
  const file = path.join(temporaryFolder(t), 'gate')
  const held = `${file}.held`
  return {
    path: file,
    holds: (count) => until(() => existsSync(held) && statSync(held).size >= count),
    open: () => writeFileSync(file, ''),
  }
}
