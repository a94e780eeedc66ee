/** Runs npm as a user does, without the settings of the npm that runs the tests. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** Result of npm. */
export interface NpmRun {
  readonly status: number | null
  /** Output of stdout and stderr. */
  readonly output: string
}

/** Timeout for the registry. */
const REGISTRY_MS = 20_000

/** Runs npm in a folder, with the Node of this process. */
export async function npm(
  folder: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<NpmRun> {
  const child = spawn('npm', args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...userEnvironment(), ...environment },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, output }
}

/** For `test(name, { skip }, …)`: the reason to skip if the npm registry does not respond. */
export async function needsRegistry(folder: string, name: string): Promise<string | false> {
  const patience = ['--fetch-retries=0', `--fetch-timeout=${REGISTRY_MS}`]
  const { status } = await npm(folder, ['view', name, 'name', ...patience])
  return status === 0 ? false : 'needs the npm registry, which does not answer'
}

/** The environment of this process without the settings that npm passes to scripts. */
export function userEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^npm_/i.test(name) || /^npm_config_(registry|cache)$/i.test(name),
  )
  const { PATH = '', ...rest } = Object.fromEntries(own)
  return { ...rest, PATH: [path.dirname(process.execPath), PATH].join(path.delimiter) }
}
