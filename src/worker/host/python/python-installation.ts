/** Finds a Python interpreter and whether it has the workers of MMS and TorchServe. */
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { WireDialect } from '../../wire/messages.ts'

/** Result of {@link findPython}. */
export interface PythonInstallation {
  readonly interpreter: string
  /** For example `3.11.7`. */
  readonly version: string
  /**
   * Folder of each package that contains a worker: `mms` of multi-model-server, `ts` of torchserve.
   */
  readonly homes: ReadonlyMap<WireDialect, string>
}

/** Package to install for each dialect. */
export const PYTHON_PACKAGES: Readonly<Record<WireDialect, string>> = {
  mms: 'multi-model-server',
  torchserve: 'torchserve',
}

/** Finds the packages without importing them, because some take seconds to import. */
const PROBE = `
import importlib.util, json, os, platform
def home(name):
    spec = importlib.util.find_spec(name)
    folder = os.path.dirname(spec.origin) if spec and spec.origin else ''
    return folder if os.path.isfile(os.path.join(folder, 'model_service_worker.py')) else ''
print(json.dumps([platform.python_version(), home('mms'), home('ts')]))
`
const PROBE_TIMEOUT_MS = 30_000
const run = promisify(execFile)

/**
 * Asks an interpreter for its version and packages.
 * @param location An interpreter (a path, or a name to look up in `PATH`) or the folder of a
 * virtual environment.
 * @param signal Aborts the check.
 * @throws Error that says why this interpreter cannot be used.
 */
export async function findPython(
  location: string,
  environment: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<PythonInstallation> {
  const interpreter = await interpreterAt(location)
  let answer: unknown
  try {
    // Runs in the root folder: packages in the server's folder must not count, because workers run
    // in another folder and would not find them.
    const options = { env: environment, cwd: path.parse(process.cwd()).root }
    const { stdout } = await run(interpreter, ['-c', PROBE], {
      ...options,
      timeout: PROBE_TIMEOUT_MS,
      signal,
    })
    answer = JSON.parse(stdout)
  } catch (cause) {
    throw new Error(`The Python interpreter ${location} cannot be started.`, { cause })
  }
  const [version = '', mms = '', ts = ''] = Array.isArray(answer) ? answer.map(String) : []
  const homes = new Map<WireDialect, string>()
  if (mms !== '') homes.set('mms', mms)
  if (ts !== '') homes.set('torchserve', ts)
  if (homes.size === 0) {
    throw new Error(
      `The Python interpreter ${location} has neither the package multi-model-server nor torchserve. Install one of them.`,
    )
  }
  return { interpreter, version, homes }
}

async function interpreterAt(location: string): Promise<string> {
  // A name without a separator is looked up in PATH, unless a folder with this name exists here.
  const stats = await stat(location).catch(() => undefined)
  if (stats?.isDirectory() === true) return path.resolve(location, 'bin', 'python')
  return location.includes(path.sep) ? path.resolve(location) : location
}
