/** The hooks of Node's module loader for versions that run them in a thread of their own. */
import { resolveOwnLater } from './hooks.ts'
import type { NextLoad, NextResolve } from './hooks.ts'
import type { OwnModules } from './own-modules.ts'
import { allowPackage, loadTypescript, useStrip } from './typescript.ts'
import type { StripTypes } from './typescript.ts'

let own: OwnModules = {}
let strip: StripTypes | undefined

/** What the thread gets. */
export interface HookData {
  readonly modules: OwnModules
  /** Folder of the installed package of the handler. */
  readonly handlerPackage: string | undefined
}

/** Node calls it with the data of each `register`. */
export function initialize({ modules, handlerPackage }: HookData): void {
  own = modules
  if (handlerPackage !== undefined) allowPackage(handlerPackage)
}

export function resolve(
  specifier: string,
  context: object,
  next: NextResolve<Promise<object>>,
): Promise<object> {
  return resolveOwnLater(own, specifier, context, next)
}

export async function load(
  url: string,
  context: object,
  next: NextLoad<Promise<object>>,
): Promise<object> {
  if (!/\.m?ts(?:\?|$)/.test(url)) return next(url, context)
  strip ??= await useStrip()
  return loadTypescript(url, strip) ?? next(url, context)
}
