/**
 * Follows a page of the documentation as a reader does. bash runs every `sh` block in order, and
 * the output must be equal to a `json` or `text` block that follows. A block that starts the server
 * is replaced by a real server on free ports, and `/tmp` by a folder of the test. Blocks in other
 * languages are not run.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { CLI, temporaryFolder } from '../helpers/server.ts'

const FENCE = /^```(\w*)\n(.*?)^```$/gms
const START = /^(npm start|(?:npx onnxd|node dist\/cli\.js) serve (.+))$/
const START_SCRIPT = 'scripts/start.mjs'
const READY =
  /^onnxd is ready\.\nInference https?:\/\/(\S+), management https?:\/\/(\S+)$[^]*\n\n$/m
/** Fields that differ from run to run: only their type is compared. */
const CHANGING = new Set(['startTime', 'pid', 'memoryUsage'])
const TOLERANCE = 1e-3
/** A field of this name says that others are left out. */
const REST = '…'

/** One block of commands, and what the page says it prints. */
export interface DocumentedCommand {
  readonly script: string
  readonly output?: { readonly language: string; readonly text: string }
}

/** The commands of a page, in order. */
export function readCommands(markdown: string): DocumentedCommand[] {
  const blocks = [...markdown.matchAll(FENCE)].map(([, language = '', content = '']) => ({
    language,
    text: content.trim(),
  }))
  return blocks.flatMap(({ language, text: script }, index) => {
    if (language !== 'sh') return []
    const next = blocks[index + 1]
    return [
      next?.language === 'json' || next?.language === 'text'
        ? { script, output: next }
        : { script },
    ]
  })
}

/**
 * Runs every command of a page and compares its output. Returns the number of compared outputs.
 * @param prepare Puts files that a reader would have into the folder that replaces `/tmp`.
 */
export async function followPage(
  t: TestContext,
  page: string,
  prepare?: (folder: string) => void,
): Promise<number> {
  const folder = temporaryFolder(t)
  prepare?.(folder)
  const markdown = readFileSync(page, 'utf8').replaceAll('/tmp/', `${folder}/`)
  const commands = readCommands(markdown)
  let compared = 0
  let server: StartedServer | undefined
  for (const { script, output } of commands) {
    const start = START.exec(script)
    let printed: string
    if (start !== null) {
      await server?.interrupt()
      server = await startServer(t, start[2]?.split(/\s+/) ?? examplesArguments())
      printed = server.banner
    } else {
      const needsServer = script.includes('localhost:')
      assert.ok(server ?? !needsServer, `${page} needs a server before it starts one: ${script}`)
      printed = await runShell(script, server)
    }
    if (output === undefined) continue
    compared += 1
    if (output.language === 'text') assert.equal(trimLines(printed), trimLines(output.text), script)
    else assertAlike(JSON.parse(printed), JSON.parse(output.text), script)
  }
  await server?.interrupt()
  return compared
}

/** What `npm start` serves. */
function examplesArguments(): string[] {
  const [, list = ''] = /EXAMPLES = \[(.+)\]/.exec(readFileSync(START_SCRIPT, 'utf8')) ?? []
  return [...list.matchAll(/'([^']+)'/g)].map(([, argument = '']) => argument)
}

interface StartedServer {
  /** Host and port of both listeners. */
  readonly inference: string
  readonly management: string
  /** What it printed, with the ports a reader would see. */
  readonly banner: string
  /** Ctrl-C. */
  interrupt(): Promise<void>
}

async function startServer(t: TestContext, args: readonly string[]): Promise<StartedServer> {
  const child = spawn(
    process.execPath,
    [CLI, 'serve', ...args, '--port', '0', '--management-port', '0'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      // No output depends on them, and each takes as much CPU time as another worker.
      env: { ...process.env, ONNXD_SPARE_WORKERS: '0' },
    },
  )
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const errors = text(child.stderr)
  const printed = await Promise.race([untilReady(child), exited.then(() => '')])
  const [, inference = '', management = ''] =
    READY.exec(printed) ?? assert.fail(`serve ${args.join(' ')} did not start: ${await errors}`)
  return {
    inference,
    management,
    banner: printed
      .replaceAll(inference, '127.0.0.1:8080')
      .replaceAll(management, '127.0.0.1:8081'),
    interrupt: async () => {
      child.kill('SIGINT')
      assert.deepEqual(await exited, [0, null], 'Ctrl-C ends the server with exit code 0')
    },
  }
}

function untilReady({ stdout }: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let printed = ''
    stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk
      if (READY.test(printed)) resolve(printed)
    })
  })
}

async function runShell(script: string, server: StartedServer | undefined): Promise<string> {
  const onOtherPorts = script
    .replaceAll('localhost:8080', server?.inference ?? '')
    .replaceAll('localhost:8081', server?.management ?? '')
  // With this variable of the test runner, `node --test` would run nothing and succeed.
  const { NODE_TEST_CONTEXT: _ofThisTest, ...env } = process.env
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', onOtherPorts], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  const [printed, errors, [code]] = await Promise.all([
    text(shell.stdout),
    text(shell.stderr),
    once(shell, 'exit'),
  ])
  assert.equal(code, 0, `${script}\n${errors}`)
  return printed
}

function trimLines(lines: string): string {
  return lines.trim().replaceAll(/[ \t]+$/gm, '')
}

/** Same fields and elements; numbers within a thousandth. */
function assertAlike(actual: unknown, expected: unknown, where: string): void {
  if (typeof expected === 'number' && typeof actual === 'number') {
    const isNear = Math.abs(actual - expected) <= TOLERANCE * Math.max(1, Math.abs(expected))
    assert.ok(isNear, `${where}: ${actual}, not ${expected}`)
  } else if (isContainer(expected) && isContainer(actual)) {
    if (!(REST in expected)) assert.deepEqual(Object.keys(actual), Object.keys(expected), where)
    for (const [key, value] of Object.entries(expected)) {
      if (key === REST) continue
      const found: unknown = Reflect.get(actual, key)
      if (CHANGING.has(key)) assert.equal(typeof found, typeof value, `${where}.${key}`)
      else assertAlike(found, value, `${where}.${key}`)
    }
  } else {
    assert.deepEqual(actual, expected, where)
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
