/** Finds the file of a custom handler and its entry points. */
import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { ServerError } from '../../../errors.ts'
import type { HandlerContext } from './context.ts'
import { importError } from './modules/import-error.ts'
import { installHooks } from './modules/install-hooks.ts'
import { isStepClass } from './steps/handler-class.ts'
import type { StepHandler } from './steps/handler-class.ts'

/** The entry points of a custom handler, bound to their object. */
export interface UserCode {
  /** Called once, before the first batch. */
  readonly initialize: (context: HandlerContext) => unknown
  readonly handle: (data: unknown, context: HandlerContext) => unknown
  readonly describe: ((context: HandlerContext) => unknown) | undefined
  /** The handler itself, if its class extends `OnnxHandler`. */
  readonly steps?: StepHandler | undefined
}

type AnyFunction = (...args: unknown[]) => unknown

const DEFAULT_FUNCTION = 'handle'
const EXTENSIONS = ['.js', '.mjs', '.cjs', '.ts', '.mts']
const DESCRIBE_NAMES = ['describe', 'describeHandle']

/**
 * Imports `handler`, in the form `file[:function]`, from inside `folder`.
 * @throws ServerError `InvalidModelException` when the file or the entry point does not exist, or
 * the file is outside `folder`.
 */
export async function importUserCode(folder: string, handler: string): Promise<UserCode> {
  const colon = handler.indexOf(':')
  const fileName = colon === -1 ? handler : handler.slice(0, colon)
  const functionName = colon === -1 ? '' : handler.slice(colon + 1)
  const file = await findFile(folder, fileName)
  // Applies to modules that are loaded from here on: stacks then name the source files of compiled
  // code.
  process.setSourceMapsEnabled(true)
  installHooks(file)
  const loaded: unknown = await import(freshUrl(file)).catch(async (error: unknown) => {
    throw await importError(error, file)
  })
  const exported = readExports(loaded)
  return entryPoints(exported, functionName || DEFAULT_FUNCTION, fileName)
}

/** Finds the entry points of a module: the function with that name, otherwise its only class. */
function entryPoints(
  exported: ReadonlyMap<string, unknown>,
  functionName: string,
  fileName: string,
): UserCode {
  const entryPoint = exported.get(functionName)
  if (entryPoint !== undefined) {
    if (!isFunction(entryPoint)) throw invalid(`${functionName} of ${fileName} is not a function.`)
    return {
      initialize: (context) => entryPoint(undefined, context),
      handle: entryPoint,
      describe: DESCRIBE_NAMES.map((name) => exported.get(name)).find(isFunction),
    }
  }
  const classes = [...new Set(exported.values())].filter(isClass)
  const [Handler, ...others] = classes
  if (Handler === undefined || others.length > 0) {
    throw invalid(
      `${fileName} must export the function ${functionName} or one class; it exports ${classes.length} classes.`,
    )
  }
  const Steps: unknown = Handler
  if (isStepClass(Steps)) return stepEntryPoints(new Steps())
  return classEntryPoints(new Handler(), fileName)
}

/** Batches go to the steps instead of `handle`. */
function stepEntryPoints(handler: StepHandler): UserCode {
  return {
    initialize: (context) => handler.initialize(context),
    handle: () => undefined,
    describe: undefined,
    steps: handler,
  }
}

function classEntryPoints(instance: Readonly<Record<string, unknown>>, fileName: string): UserCode {
  const method = (name: string): AnyFunction | undefined => {
    const found = instance[name]
    return isFunction(found) ? found.bind(instance) : undefined
  }
  const handle = method('handle')
  if (handle === undefined) throw invalid(`The class in ${fileName} has no method "handle".`)
  return {
    initialize: method('initialize') ?? (() => undefined),
    handle,
    describe: DESCRIBE_NAMES.map(method).find(isFunction),
  }
}

/**
 * Collects exports by name. Exports of a CommonJS module may be found only on its default export.
 */
function readExports(loaded: unknown): Map<string, unknown> {
  const exported = new Map<string, unknown>()
  // `loaded` is always a namespace object; this check is only for its type `unknown`.
  if (typeof loaded !== 'object' || loaded === null) return exported
  for (const [name, value] of Object.entries(loaded)) exported.set(name, value)
  const whole = exported.get('default')
  if (typeof whole !== 'object' || whole === null) return exported
  for (const [name, value] of Object.entries(whole)) {
    if (!exported.has(name)) exported.set(name, value)
  }
  return exported
}

/**
 * Resolves links before it checks the location, so that a link cannot load code from outside the
 * folder.
 */
async function findFile(folder: string, name: string): Promise<string> {
  const root = await realpath(folder)
  const candidates = EXTENSIONS.includes(path.extname(name))
    ? [name]
    : EXTENSIONS.map((extension) => name + extension)
  for (const candidate of candidates) {
    const file = await existingFile(path.resolve(root, candidate))
    if (file === undefined) continue
    if (path.isAbsolute(name) || !file.startsWith(root + path.sep)) {
      throw invalid(`${JSON.stringify(name)} points outside the model's folder.`)
    }
    return file
  }
  throw invalid(`The model's folder has no ${candidates.join(' or ')}.`)
}

async function existingFile(file: string): Promise<string | undefined> {
  try {
    return (await stat(file)).isFile() ? await realpath(file) : undefined
  } catch {
    return undefined
  }
}

/**
 * Node caches modules by URL. A new URL gives a model that is loaded again fresh code and fresh
 * state.
 */
function freshUrl(file: string): string {
  loads += 1
  const url = pathToFileURL(file)
  if (loads > 1) url.searchParams.set('load', String(loads))
  return url.href
}
let loads = 0

function isFunction(value: unknown): value is AnyFunction {
  return typeof value === 'function'
}

function isClass(value: unknown): value is new () => Readonly<Record<string, unknown>> {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
