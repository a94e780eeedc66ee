/** The hooks of Node's module loader for versions that run them in a thread of their own. */
import { resolveOwnLater } from './hooks.ts'
import type { NextLoad, NextResolve } from './hooks.ts'
import type { OwnModules } from './own-modules.ts'
import { loadTypescript, useStrip } from './typescript.ts'
import type { StripTypes } from './typescript.ts'

let own: OwnModules = {}
let strip: StripTypes | undefined

/** Node calls it with the data of `register`. */
export function initialize(modules: OwnModules): void {
  own = modules
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
