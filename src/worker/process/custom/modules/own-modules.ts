/** The modules that onnxd brings, so that handlers can import them without installing anything. */
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageFolder } from '../../../../package-files.ts'

/** The file of each module, as a URL. */
export type OwnModules = Readonly<Record<string, string>>

/** Modules of this package. They must be those of the running server. */
const EXPORTS: readonly string[] = ['onnxd/handler', 'onnxd/testing']
/** Packages that a handler may have a copy of. The second is a dependency of the first. */
const RUNTIME = 'onnxruntime-node'
const RUNTIME_COMMON = 'onnxruntime-common'
const IMAGES = 'sharp'

export function findOwnModules(): OwnModules {
  const folder = packageFolder()
  const { resolve } = createRequire(path.join(folder, 'package.json'))
  const runtime = resolve(RUNTIME)
  const files: [string, string][] = EXPORTS.map((name) => {
    const module = path.basename(name)
    return [name, path.join(folder, 'dist', module, `${module}.js`)]
  })
  files.push([RUNTIME, runtime], [RUNTIME_COMMON, createRequire(runtime).resolve(RUNTIME_COMMON)])
  files.push([IMAGES, resolve(IMAGES)])
  return Object.fromEntries(files.map(([name, file]) => [name, pathToFileURL(file).href]))
}

/** Whether a module of onnxd is used even where the handler has a copy. */
export function isExport(specifier: string): boolean {
  return EXPORTS.includes(specifier)
}

/** Whether a module was not found, so that onnxd's own is used. */
export function isNotFound(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND'
}
