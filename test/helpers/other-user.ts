import { spawnSync } from 'node:child_process'
import process from 'node:process'

/** Arguments of `setpriv` for a user that exists on no machine. What follows replaces `setpriv`. */
export const asUser = (id: number): [string, ...string[]] => [
  'setpriv',
  `--reuid=${id}`,
  `--regid=${id}`,
  '--clear-groups',
  '--',
]

/** For `test(name, { skip: needsOtherUser }, …)`: whether another user can run this program. */
export const needsOtherUser: string | false =
  process.geteuid?.() === 0
    ? canRun()
      ? false
      : 'needs setpriv, and a Node and a checkout that every user may read'
    : 'needs to be root'

function canRun(): boolean {
  const [command, ...args] = [...asUser(65_432), process.execPath, 'dist/cli.js', '--version']
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
