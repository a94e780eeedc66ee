/** Removes the types of TypeScript. Every statement stays on its line and in its column. */
import { readFileSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../../../../errors.ts'

/** Returns JavaScript. */
export type StripTypes = (code: string) => string

/** A module that needs no other hook. */
export interface LoadedSource {
  readonly format: 'module'
  readonly source: string
  readonly shortCircuit: true
}

/** The folder of the installed package that a file belongs to. */
const PACKAGE = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+[\\/]/

/** Folders of installed packages that a handler of this process is part of. */
const handlerPackages = new Set<string>()

/** Returns the folder of the installed package that a file belongs to, if it belongs to one. */
export function packageOf(file: string): string | undefined {
  return PACKAGE.exec(file)?.[0]
}

/**
 * Lets handlers of an installed package be TypeScript.
 * @returns Whether the package is new.
 */
export function allowPackage(folder: string): boolean {
  if (handlerPackages.has(folder)) return false
  handlerPackages.add(folder)
  return true
}

/** Whether a file is TypeScript of a handler. The files of other packages are JavaScript. */
export function isTypescript(file: string): boolean {
  if (!/\.m?ts$/.test(file)) return false
  const folder = packageOf(file)
  return folder === undefined || handlerPackages.has(folder)
}

/**
 * Returns the source of a module in TypeScript; `undefined` for any other module.
 * @throws SyntaxError that begins with the file and the line.
 */
export function loadTypescript(url: string, strip: StripTypes): LoadedSource | undefined {
  const file = url.startsWith('file:') ? fileURLToPath(url) : ''
  if (!isTypescript(file)) return undefined
  const code = readFileSync(file, 'utf8')
  try {
    return { format: 'module', source: strip(code), shortCircuit: true }
  } catch (error) {
    throw new SyntaxError(`${file}:${lineOf(error) ?? 1}: ${problemOf(error)}`)
  }
}

/** Node's own function, else the library of which Node has a copy for it. */
export async function useStrip(): Promise<StripTypes> {
  const own = findNodeStrip()
  if (own !== undefined) return own
  const { transformSync } = await import('@swc/wasm-typescript')
  return (code) => transformSync(code, { mode: 'strip-only' }).code
}

/** Node's own function, which it has from 22.13 on. */
export function findNodeStrip(): StripTypes | undefined {
  const { stripTypeScriptTypes } = module as { readonly stripTypeScriptTypes?: StripTypes }
  if (stripTypeScriptTypes === undefined) return undefined
  return (code) => {
    // Node would print in each worker that the function is experimental.
    const emitWarning = Object.getOwnPropertyDescriptor(process, 'emitWarning') ?? {}
    Object.defineProperty(process, 'emitWarning', { ...emitWarning, value: () => {} })
    try {
      return stripTypeScriptTypes(code)
    } finally {
      Object.defineProperty(process, 'emitWarning', emitWarning)
    }
  }
}

/** The library says it in a member, Node in the first line of the stack. */
function lineOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('startLine' in error && typeof error.startLine === 'number') return error.startLine
  const line = error instanceof Error ? /^:(\d+)\n/.exec(error.stack ?? '')?.[1] : undefined
  return line === undefined ? undefined : Number(line)
}

/** The library throws an object that is no error. */
function problemOf(error: unknown): string {
  if (error instanceof Error) return messageOf(error)
  const hasText = typeof error === 'object' && error !== null && 'message' in error
  return hasText ? String(error.message) : messageOf(error)
}
