/** The npm packages that generate clients, in their own folder: `test/openapi/generators`. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'

export const GENERATORS = path.resolve('test/openapi/generators')
/** TypeScript 5, which the generators need and most users of generated clients have. */
export const GENERATORS_TSC = path.join(GENERATORS, 'node_modules/typescript/bin/tsc')

/** Installs the generators if they are missing. Without a registry it skips the test. */
export function installGenerators(t: TestContext): boolean {
  if (existsSync(path.join(GENERATORS, 'node_modules', '.package-lock.json'))) return true
  const npm = process.env['npm_execpath']
  const args = ['ci', '--no-audit', '--no-fund']
  const options = { cwd: GENERATORS, timeout: 120_000, encoding: 'utf8' } as const
  const { status } = npm?.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, options)
  if (status !== 0) t.skip('needs the npm registry once, for the generators of clients')
  return status === 0
}
