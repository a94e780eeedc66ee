import { spawnSync } from 'node:child_process'

/** For `test(name, { skip: needs('curl', '--version') }, …)`: whether a program can be run. */
export function needs(program: string, ...args: string[]): string | false {
  const { status } = spawnSync(program, args, { stdio: 'ignore', timeout: 60_000 })
  return status === 0 ? false : `needs ${program}`
}
