/**
 * Installs Python packages in virtual environments outside the checkout. Each is made once and
 * kept.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const TIMEOUT_MS = 600_000

export interface PythonEnvironment {
  readonly name: string
  readonly packages: readonly string[]
  /** Installs the packages without their dependencies. */
  readonly noDependencies?: boolean
  /** Whether it also has the packages of the interpreter. */
  readonly usesSystemPackages?: boolean
}

/** The Python to use, and the folder of all environments. */
export interface PythonSite {
  readonly python: string
  readonly cache: string
  /** Called before an installation, because it takes a while. */
  readonly say: (text: string) => void
}

/** Whether this Python can make virtual environments. */
export function hasVenv(python: string): boolean {
  return runs(python, ['-c', 'import venv, ensurepip'])
}

/**
 * Returns the folder of an environment with the packages, and installs it if it is missing. Returns
 * `undefined` if the installation fails. Different environments can be installed at the same time.
 */
export async function pythonEnvironment(
  { name, packages, noDependencies = false, usesSystemPackages = false }: PythonEnvironment,
  { python, cache, say }: PythonSite,
): Promise<string | undefined> {
  const options = noDependencies ? ['--no-deps'] : []
  const venvOptions = usesSystemPackages ? ['--system-site-packages'] : []
  const version = spawnSync(python, ['-VV'], { encoding: 'utf8' }).stdout
  const key = createHash('sha256')
    .update([version, ...options, ...venvOptions, ...packages].join('\n'))
    .digest('hex')
  const folder = path.join(cache, `${name.toLowerCase()}-${key.slice(0, 12)}`)
  const complete = path.join(folder, '.complete')
  if (existsSync(complete)) return folder
  say(`installing ${packages.join(', ')} in ${folder}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  // Python compiles the modules that are imported. To compile all of them takes much longer.
  const quick = ['--quiet', '--disable-pip-version-check', '--no-compile']
  const pip = ['-m', 'pip', 'install', ...quick, ...options]
  const isMade =
    (await succeeds(python, ['-m', 'venv', ...venvOptions, folder])) &&
    (await succeeds(path.join(folder, 'bin', 'python'), [...pip, ...packages]))
  if (isMade) {
    writeFileSync(complete, '')
    return folder
  }
  rmSync(folder, { recursive: true, force: true })
  return undefined
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(command, args, { stdio: 'ignore', timeout: TIMEOUT_MS })
  try {
    const [status] = (await once(child, 'exit')) as [number | null]
    return status === 0
  } catch {
    return false
  }
}

/** Whether a command exits with code 0. Its output is not shown. */
export function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: TIMEOUT_MS }).status === 0
}
