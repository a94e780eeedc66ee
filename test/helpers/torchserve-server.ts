/** Runs the Java front-end of TorchServe, with the command line of its launcher. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { freePort } from './free-port.ts'
import { pythonWorkers } from './python-model.ts'
import { processesNaming } from './server-process.ts'
import { until } from './server.ts'

const java = process.env['ONNXD_INTEROP_JAVA'] ?? ''

/** A running TorchServe. */
export interface TorchServer {
  readonly inference: string
  readonly management: string
  /** Its model store, the folder of archives. */
  readonly store: string
  /** Console output of TorchServe and its workers. */
  output(): string
}

/**
 * Starts TorchServe, with the interpreter of the virtual environment for its workers. After the
 * test all its processes are killed.
 */
export async function startTorchServe(t: TestContext, folder: string): Promise<TorchServer> {
  const [store, temporary] = [path.join(folder, 'store'), path.join(folder, 'tmp')]
  for (const each of [store, temporary]) mkdirSync(each, { recursive: true })
  const [inference, management, metrics, grpc, grpcManagement, worker] = await Promise.all(
    Array.from({ length: 6 }, freePort),
  )
  const url = (port = 0): string => `http://127.0.0.1:${port}`
  const configuration = path.join(folder, 'config.properties')
  const settings = {
    inference_address: url(inference),
    management_address: url(management),
    metrics_address: url(metrics),
    grpc_inference_port: grpc,
    grpc_management_port: grpcManagement,
    initial_worker_port: worker,
    model_store: store,
    default_workers_per_model: 1,
    disable_system_metrics: true,
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
      path.join(home, 'ts', 'frontend', '*'),
      'org.pytorch.serve.ModelServer',
      '--python',
      path.join(pythonWorkers, 'bin', 'python'),
      '-f',
      configuration,
      '-s',
      store,
      // No snapshots, no tokens, registration allowed.
      '-ncs',
      '-dt',
      '-mapi',
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
    return fetch(`${url(inference)}/ping`).then(
      (answer) => answer.ok,
      () => false,
    )
  }, 60_000)
  return { inference: url(inference), management: url(management), store, output: () => output }
}

function sitePackages(): string {
  const lib = path.join(pythonWorkers, 'lib')
  const home = readdirSync(lib)
    .map((name) => path.join(lib, name, 'site-packages'))
    .find((folder) => existsSync(path.join(folder, 'ts')))
  return home ?? assert.fail(`no package ts below ${lib}`)
}
