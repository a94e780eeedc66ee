/**
 * Restricts what a worker process may do. Small programs of util-linux set the limits and then
 * replace themselves with the worker, so its process id and its parent do not change.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import { ConfigError } from '../../errors.ts'
import type { ChildSpec } from './child-process/child.ts'

/** User and group id of a user of this machine. */
export interface WorkerUser {
  readonly uid: number
  readonly gid: number
}

/** The restrictions that the operator asked for, and the tools of this machine. */
export interface Confinement {
  /** User that workers run as; `undefined` means the server's own user. */
  readonly user: WorkerUser | undefined
  /** Arguments of `unshare`; `undefined` when workers may use the network. */
  readonly unshare: readonly string[] | undefined
  /** Whether the program `setpriv` is installed. */
  readonly hasSetpriv: boolean
  /** Limit of open descriptors of a worker; 0 means the server's own limit. */
  readonly maxOpenFiles: number
  /** Limit of a worker's private memory, MiB; 0 means no limit. */
  readonly memoryMib: number
}

/** Settings of the operator that say how workers are confined. */
export interface ConfinementSettings {
  readonly workerUser: string
  readonly egress: boolean
  readonly workerOpenFiles: number
  readonly workerMemoryMib: number
}

/**
 * MiB. V8 13 and later (Node 24) reserve address space for code, which `RLIMIT_DATA` counts
 * although it is not used.
 */
const RESERVED_MIB = Number.parseInt(process.versions.node, 10) >= 24 ? 512 : 0
const PROBE_TIMEOUT_MS = 5000
/**
 * The highest id of a user or group. The next number, which is the last of 32 bits, means "no
 * change" to the system: workers would run as root.
 */
const MAX_ID = 2 ** 32 - 2

/**
 * Finds out how to confine workers on this machine.
 * @throws ConfigError when this machine does not support a restriction that was asked for. A
 * restriction is never left out silently.
 */
export function findConfinement(
  settings: ConfinementSettings,
  environment: Readonly<Record<string, string>>,
): Confinement {
  // Searches the PATH of the worker's environment: `setpriv` is started with that environment.
  const hasSetpriv = process.platform === 'linux' && isInstalled('setpriv', environment)
  return {
    user: settings.workerUser === '' ? undefined : findUser(settings.workerUser, hasSetpriv),
    unshare: settings.egress ? undefined : findUnshare(),
    hasSetpriv,
    maxOpenFiles: settings.workerOpenFiles,
    memoryMib: settings.workerMemoryMib,
  }
}

/**
 * Wraps a command so that it starts confined.
 *
 * `RLIMIT_DATA` limits the memory that a process can really use: tensors, weights and heap. An
 * allocation beyond it fails inside onnxruntime or V8 with an error that names the cause, instead
 * of using up the machine's memory.
 */
export function confine(child: ChildSpec, confinement: Confinement): ChildSpec {
  const { memoryMib, maxOpenFiles } = confinement
  const script = [
    'ulimit -c 0',
    ...(memoryMib > 0 ? [`ulimit -d ${(memoryMib + RESERVED_MIB) * 1024}`] : []),
    // If the server's own limit is lower, `ulimit` fails and the lower limit stays.
    ...(maxOpenFiles > 0 ? [`ulimit -n ${maxOpenFiles} 2>/dev/null || true`] : []),
    `exec ${[...wrappers(confinement), '"$0" "$@"'].join(' ')}`,
  ].join('; ')
  return { ...child, command: '/bin/sh', args: ['-c', script, child.command, ...child.args] }
}

function wrappers({ user, unshare, hasSetpriv }: Confinement): string[] {
  const network = unshare === undefined ? [] : ['unshare', ...unshare, '--']
  if (!hasSetpriv) return network
  const identity =
    user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  return [...network, 'setpriv', '--no-new-privs', ...identity, '--']
}

/**
 * @throws ConfigError when the user does not exist, is root, or when this process cannot switch to
 * another user.
 */
function findUser(wanted: string, hasSetpriv: boolean): WorkerUser {
  if (process.geteuid?.() !== 0)
    throw new ConfigError('The setting workerUser requires that the server runs as root.')
  if (!hasSetpriv)
    throw new ConfigError(
      'The setting workerUser requires the program setpriv (package util-linux).',
    )
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(wanted) ?? []
  const user =
    uid === undefined
      ? userOf(wanted)
      : { uid: Number(uid), gid: gid === undefined ? Number(uid) : Number(gid) }
  if (user === undefined)
    throw new ConfigError(`The user ${wanted} of the setting workerUser does not exist.`)
  if (user.uid === 0) throw new ConfigError('The user of the setting workerUser must not be root.')
  if (user.uid > MAX_ID || user.gid > MAX_ID)
    throw new ConfigError(
      `The user and group ids of the setting workerUser must be at most ${MAX_ID}; got ${wanted}.`,
    )
  return user
}

function userOf(name: string): WorkerUser | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) => {
    const { status, stdout } = spawnSync('id', [flag, '--', name], { encoding: 'utf8' })
    return status === 0 ? Number(stdout.trim()) : undefined
  })
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

/**
 * Finds arguments of `unshare` that work here. Root can create a network namespace directly; other
 * users need a user namespace, where the system allows it.
 * @throws ConfigError when no variant works.
 */
function findUnshare(): readonly string[] {
  const variants = [['--net'], ['--user', '--map-current-user', '--net']]
  let reason = 'the program unshare (util-linux) is not installed'
  for (const args of variants) {
    const { status, error, stderr } = spawnSync('unshare', [...args, '--', 'true'], {
      encoding: 'utf8',
      timeout: PROBE_TIMEOUT_MS,
    })
    if (status === 0) return args
    if (error === undefined) reason = stderr.trim()
  }
  throw new ConfigError(`The setting --no-egress is not possible on this system: ${reason}.`)
}

function isInstalled(program: string, { PATH = '' }: Readonly<Record<string, string>>): boolean {
  return PATH.split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
