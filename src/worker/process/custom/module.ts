/** Finds a model's own code and its entry points (MMS handlers, section 6.4). */
import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { ServerError } from '../../../errors.ts'
import type { HandlerContext } from './context.ts'

/** The entry points of a model's own code, bound and ready to be called. */
export interface UserCode {
  /** Called once, before the first batch. */
  readonly initialize: (context: HandlerContext) => unknown
  readonly handle: (data: unknown, context: HandlerContext) => unknown
  readonly describe: ((context: HandlerContext) => unknown) | undefined
}

type AnyFunction = (...args: unknown[]) => unknown

const DEFAULT_FUNCTION = 'handle'
const EXTENSIONS = ['.js', '.mjs', '.cjs']
const DESCRIBE_NAMES = ['describe', 'describeHandle']

/**
 * Imports `handler`, `file[:function]`, from inside `folder`.
 * @throws ServerError `InvalidModelException` when there is no such file or entry point.
 */
export async function importUserCode(folder: string, handler: string): Promise<UserCode> {
  const colon = handler.indexOf(':')
  const fileName = colon === -1 ? handler : handler.slice(0, colon)
  const functionName = colon === -1 ? '' : handler.slice(colon + 1)
  const file = await findFile(folder, fileName)
  // For what is loaded from here on: stacks name the sources of compiled code.
  process.setSourceMapsEnabled(true)
  const loaded: unknown = await import(freshUrl(file))
  const exported = readExports(loaded)
  return entryPoints(exported, functionName || DEFAULT_FUNCTION, fileName)
}

/** Entry points of a module: the function of that name, or else the one class there is. */
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
  return classEntryPoints(new Handler(), fileName)
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

/** Exports by name. What a CommonJS module exports may only be found on its default export. */
function readExports(loaded: unknown): Map<string, unknown> {
  const exported = new Map<string, unknown>()
  // Always a namespace object; only its type does not say so.
  if (typeof loaded !== 'object' || loaded === null) return exported
  for (const [name, value] of Object.entries(loaded)) exported.set(name, value)
  const whole = exported.get('default')
  if (typeof whole !== 'object' || whole === null) return exported
  for (const [name, value] of Object.entries(whole)) {
    if (!exported.has(name)) exported.set(name, value)
  }
  return exported
}

/** Follows links before it decides what is inside: a link must not lead code in from elsewhere. */
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

/** Modules are cached by URL; a model that is loaded again gets its code, and its state, afresh. */
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
