/** The npm packages that make clients, in a folder of their own: `test/openapi/generators`. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'

export const GENERATORS = path.resolve('test/openapi/generators')
/** Version 5, which the generators need; also the compiler of most of those who use their clients. */
export const GENERATORS_TSC = path.join(GENERATORS, 'node_modules/typescript/bin/tsc')

/** Installs the generators where they are missing; without a registry the test is skipped. */
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
