/** Checks of Node, onnxruntime and Python. */
import { execFile } from 'node:child_process'
import process from 'node:process'
import { promisify } from 'node:util'
import { didYouMean } from '../../../closest-name.ts'
import type { Config } from '../../../config/config.ts'
import { messageOf } from '../../../errors.ts'
import { packageFolder } from '../../../package-files.ts'
import { memberOf } from '../../json.ts'
import type { Examined } from './examined.ts'
import { checkGpus } from './gpus.ts'

const LEAST_NODE = [20, 11] as const
const RUNTIME_MS = 30_000
/**
 * The server must not load native code, so another process does. onnxruntime also lists providers
 * whose library is not in its package; they are there only if the library was added.
 */
const RUNTIME_PROGRAM = `
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
const { default: ort } = await import(process.argv[1])
const main = createRequire(process.cwd() + '/').resolve(process.argv[1])
const folder = path.join(main, '../../bin/napi-v6', process.platform, process.arch)
const added = (name) => path.join(folder, 'libonnxruntime_providers_' + name + '.so')
const backends = ort.listSupportedBackends()
  .filter(({ name, bundled }) => bundled || existsSync(added(name)))
  .map(({ name }) => name)
console.log(JSON.stringify({ version: ort.env.versions.node ?? ort.env.versions.common, backends }))`

const run = promisify(execFile)

/** Checks the programs that a server needs. */
export async function checkRuntime(config: Config, signal: AbortSignal): Promise<Examined[]> {
  return [checkNode(), ...(await checkOnnxruntime(config, signal)), ...(await checkPython(config))]
}

function checkNode(): Examined {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [leastMajor, leastMinor] = LEAST_NODE
  const isFit = major > leastMajor || (major === leastMajor && minor >= leastMinor)
  const text = `${process.versions.node}, ${process.platform} ${process.arch}`
  if (isFit) return { name: 'Node', state: 'ok', text }
  const remedy = `Install Node ${leastMajor}.${leastMinor} or newer.`
  return { name: 'Node', state: 'problem', text, remedy }
}

async function checkOnnxruntime(config: Config, signal: AbortSignal): Promise<Examined[]> {
  const { providers, gpus } = config
  const name = 'onnxruntime'
  let found: unknown
  try {
    const args = ['--input-type=module', '-e', RUNTIME_PROGRAM, `${name}-node`]
    // The program finds the package from its working folder.
    const cwd = packageFolder()
    const options = { cwd, signal, timeout: RUNTIME_MS }
    const { stdout } = await run(process.execPath, args, options)
    found = JSON.parse(stdout)
  } catch (error) {
    signal.throwIfAborted()
    const [line = ''] = messageOf(error)
      .split('\n')
      .filter((one) => /error|cannot/i.test(one))
      .slice(-1)
    const remedy =
      'Install the package again with npm install onnxd, on glibc 2.28 or newer (not Alpine).'
    return [{ name, state: 'problem', text: `cannot be loaded. ${line}`, remedy }]
  }
  const list = memberOf(found, 'backends')
  const backends = Array.isArray(list) ? list.map(String) : []
  const wanted = providers.length > 0 ? providers : gpus > 0 ? ['cuda'] : []
  const missing = wanted.find((one) => !backends.includes(one.toLowerCase()))
  const text = `${String(memberOf(found, 'version'))}, providers ${backends.join(', ')}`
  const devices = await checkGpus(config, backends)
  if (missing === undefined) return [{ name, state: 'ok', text }, ...devices]
  return [
    { name, state: 'ok', text },
    ...devices,
    {
      name: 'providers',
      state: 'problem',
      text: `${missing} is not part of this onnxruntime.${didYouMean(missing, backends)}`,
      remedy: 'Remove it from --providers, or install an onnxruntime that has it; see docs/gpu.md.',
    },
  ]
}

async function checkPython({ python }: Config): Promise<Examined[]> {
  if (python === '') return []
  try {
    const { stdout, stderr } = await run(python, ['--version'], { timeout: RUNTIME_MS })
    return [{ name: 'Python', state: 'ok', text: `${python}: ${(stdout || stderr).trim()}` }]
  } catch (error) {
    const remedy = 'Name an interpreter with --python that this user can run.'
    const [text = ''] = messageOf(error).split('\n', 1)
    return [{ name: 'Python', state: 'problem', text, remedy }]
  }
}
