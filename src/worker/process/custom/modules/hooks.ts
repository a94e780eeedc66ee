/** Hooks of Node's module loader, for the main thread and for a thread of their own. */
import { isExport, isNotFound } from './own-modules.ts'
import type { OwnModules } from './own-modules.ts'

export type NextResolve<Result> = (specifier: string, context: object) => Result
export type NextLoad<Result> = (url: string, context: object) => Result

/** Returns onnxd's own module if the importing file finds none. */
export function resolveOwn(
  own: OwnModules,
  specifier: string,
  context: object,
  next: NextResolve<object>,
): object {
  const url = ownUrl(own, specifier)
  if (url === undefined) return next(specifier, context)
  if (isExport(specifier)) return foundAt(url)
  try {
    return next(specifier, context)
  } catch (error) {
    if (isNotFound(error)) return foundAt(url)
    throw error
  }
}

/** As {@link resolveOwn}, in the thread of the hooks. */
export async function resolveOwnLater(
  own: OwnModules,
  specifier: string,
  context: object,
  next: NextResolve<Promise<object>>,
): Promise<object> {
  const url = ownUrl(own, specifier)
  if (url === undefined) return next(specifier, context)
  if (isExport(specifier)) return foundAt(url)
  return next(specifier, context).catch((error: unknown) => {
    if (isNotFound(error)) return foundAt(url)
    throw error
  })
}

function ownUrl(own: OwnModules, specifier: string): string | undefined {
  return Object.hasOwn(own, specifier) ? own[specifier] : undefined
}

function foundAt(url: string): object {
  return { url, shortCircuit: true }
}
