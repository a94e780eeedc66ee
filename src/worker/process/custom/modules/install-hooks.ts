/** Lets handlers import TypeScript and the modules that onnxd brings. */
import module from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { packageFolder } from '../../../../package-files.ts'
import type { HookData } from './hooks-thread.ts'
import { resolveOwn } from './hooks.ts'
import type { NextLoad, NextResolve } from './hooks.ts'
import { findOwnModules, isNotFound } from './own-modules.ts'
import type { OwnModules } from './own-modules.ts'
import { allowPackage, findNodeStrip, loadTypescript, packageOf } from './typescript.ts'

/** The program of the thread that older versions of Node run hooks in. */
const THREAD = path.join('dist', 'worker', 'process', 'custom', 'modules', 'hooks-thread.js')

/** Node has it from 22.15 on. */
type RegisterHooks = (hooks: {
  readonly resolve: (specifier: string, context: object, next: NextResolve<object>) => object
  readonly load: (url: string, context: object, next: NextLoad<object>) => object
}) => void

/** Node's own function that finds the file of a `require`. */
const RESOLVE = '_resolveFilename'
type ResolveFilename = (this: unknown, request: string, ...rest: unknown[]) => string

let isInstalled = false

/**
 * Prepares the import of a handler. A second call adds only what this handler needs more.
 * @param handler Real path of the file.
 */
export function installHooks(handler: string): void {
  const handlerPackage = packageOf(handler)
  const isNewPackage = handlerPackage !== undefined && allowPackage(handlerPackage)
  const { registerHooks } = module as { readonly registerHooks?: RegisterHooks }
  const strip = findNodeStrip()
  const isInThread = registerHooks === undefined || strip === undefined
  // A thread knows the packages that it was told.
  if (isInstalled && !(isInThread && isNewPackage)) return
  const modules = findOwnModules()
  if (isInThread) {
    const data: HookData = { modules, handlerPackage }
    module.register(pathToFileURL(path.join(packageFolder(), THREAD)), { data })
    if (!isInstalled) resolveRequires(modules)
  } else {
    registerHooks({
      resolve: (specifier, context, next) => resolveOwn(modules, specifier, context, next),
      load: (url, context, next) => loadTypescript(url, strip) ?? next(url, context),
    })
  }
  isInstalled = true
}

/** The hooks of a thread do not see `require`. */
function resolveRequires(own: OwnModules): void {
  const loader = module as unknown as Record<typeof RESOLVE, ResolveFilename>
  const original = loader[RESOLVE]
  loader[RESOLVE] = function resolveFilename(request, ...rest) {
    try {
      return original.call(this, request, ...rest)
    } catch (error) {
      const file = Object.hasOwn(own, request) ? own[request] : undefined
      if (file === undefined || !isNotFound(error)) throw error
      return fileURLToPath(file)
    }
  }
}
