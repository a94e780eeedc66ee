/** Runs the Java front-end of MMS, with the command line of its launcher. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { pythonWorkers } from './python-model.ts'
import { processesNaming } from './server-process.ts'
import { until } from './server.ts'

const java = process.env.ONNXD_INTEROP_JAVA ?? ''
/** For `test(name, { skip: needsMms }, …)`. */
export const needsMms =
  java === '' || pythonWorkers === ''
    ? 'needs Java and the Python packages; see scripts/interop.mjs'
    : false

/** MMS accepts no higher port. */
const HIGHEST_PORT = 32_766

/** A running MMS. */
export interface MmsServer {
  readonly inference: string
  readonly management: string
  /** Its model store, the folder of archives. */
  readonly store: string
  /** Its `java.io.tmpdir`: sockets, FIFOs and unpacked archives. */
  readonly temporary: string
  /** Console output of MMS and its workers. */
  output(): string
}

/**
 * Starts MMS with `python` as the interpreter of its workers. After the test all its processes are
 * killed, because MMS itself leaves its workers running.
 */
export async function startMms(
  t: TestContext,
  folder: string,
  python: string,
  properties: Readonly<Record<string, string>> = {},
): Promise<MmsServer> {
  const [store, temporary] = [path.join(folder, 'store'), path.join(folder, 'tmp')]
  for (const each of [store, temporary]) mkdirSync(each, { recursive: true })
  const inference = `http://127.0.0.1:${await freeLowPort()}`
  const management = `http://127.0.0.1:${await freeLowPort()}`
  const configuration = path.join(folder, 'config.properties')
  const settings = {
    inference_address: inference,
    management_address: management,
    model_store: store,
    ...properties,
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(configuration, lines.join(''))
  const home = sitePackages()
  const child = spawn(
    java,
    [
      '-Xmx512m',
      `-Dmodel_server_home=${home}`,
      `-Djava.io.tmpdir=${temporary}`,
      '-cp',
      path.join(home, 'mms', 'frontend', '*'),
      'com.amazonaws.ml.mms.ModelServer',
      '--python',
      python,
      '-f',
      configuration,
    ],
    {
      cwd: folder,
      env: { ...process.env, LOG_LOCATION: folder, METRICS_LOCATION: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  }
  t.after(async () => {
    child.kill('SIGKILL')
    await until(() => child.exitCode !== null || child.signalCode !== null)
    for (const pid of processesNaming(temporary)) process.kill(pid, 'SIGKILL')
  })
  await until(async () => {
    assert.equal(child.exitCode, null, output)
    return fetch(`${inference}/ping`).then(
      (answer) => answer.ok,
      () => false,
    )
  }, 60_000)
  return { inference, management, store, temporary, output: () => output }
}

function sitePackages(): string {
  const lib = path.join(pythonWorkers, 'lib')
  const home = readdirSync(lib)
    .map((name) => path.join(lib, name, 'site-packages'))
    .find((folder) => existsSync(path.join(folder, 'mms')))
  return home ?? assert.fail(`no package mms below ${lib}`)
}

/** A free port. The system would choose a higher one than MMS accepts. */
async function freeLowPort(): Promise<number> {
  // Servers that start at the same time begin with different ports.
  for (let port = 10_000 + (process.pid % 10_000); port <= HIGHEST_PORT; port += 1) {
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    const { port: bound } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    return bound
  }
  return assert.fail('no port is free')
}
