/**
 * The folder `../shared` beside the repository: more data for what the tests check with their own.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

const folder = path.resolve('../shared')

/** The folder; `undefined` where it is absent. */
export const shared: string | undefined = existsSync(path.join(folder, 'models', 'models.json'))
  ? folder
  : undefined
/** For `test(name, { skip: needsShared }, …)`. */
export const needsShared = shared === undefined ? 'needs the folder ../shared' : false

/** A path in the folder, whether it is there or not. */
export function sharedPath(...parts: readonly string[]): string {
  return path.join(folder, ...parts)
}

/** How {@link testShared} and Node's `test` are called. */
export type DefineTest = (
  name: string,
  options: { readonly timeout?: number },
  run: (t: TestContext) => void | Promise<void>,
) => unknown

/**
 * A test that does the same as another one with more data. It does not exist where the folder is
 * absent: nothing is left unchecked there.
 */
export const testShared: DefineTest = shared === undefined ? () => undefined : test
