/**
 * What a worker process may do less than the server: set by small programs of util-linux that replace
 * themselves with the worker, so that its process id and its parent stay what they are.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import { ConfigError } from '../../errors.ts'
import type { ChildSpec } from './child.ts'

/** A user of this machine, in numbers. */
export interface WorkerUser {
  readonly uid: number
  readonly gid: number
}

/** What the operator asked for, and what this machine has. */
export interface Confinement {
  /** Absent where workers run as the server's own user. */
  readonly user: WorkerUser | undefined
  /** Arguments of `unshare`; absent where workers keep the network. */
  readonly unshare: readonly string[] | undefined
  /** Whether `setpriv` is there. */
  readonly hasSetpriv: boolean
  /** Descriptors that a worker may have open; 0 for as many as the server. */
  readonly maxOpenFiles: number
  /** Private memory of a worker, MiB; 0 for no limit. */
  readonly memoryMib: number
}

/** Settings that say how workers are confined. */
export interface ConfinementSettings {
  readonly workerUser: string
  readonly egress: boolean
  readonly workerOpenFiles: number
  readonly workerMemoryMib: number
}

/** V8 13 and later reserve address space for code that counts as data without being used. */
const RESERVED_MIB = Number.parseInt(process.versions.node, 10) >= 24 ? 512 : 0
const PROBE_TIMEOUT_MS = 5000

/**
 * Finds out how to confine workers on this machine.
 * @throws ConfigError when something was asked for that cannot be had here; it is never left out silently.
 */
export function findConfinement(
  settings: ConfinementSettings,
  environment: Readonly<Record<string, string>>,
): Confinement {
  // The worker's environment: its own PATH is searched when it is started.
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
 * The same command, started with less.
 *
 * `RLIMIT_DATA` bounds what a process can really use, tensors, weights and heap: an allocation beyond it
 * fails inside onnxruntime or V8 as an error that names the cause, instead of taking the machine down.
 */
export function confine(child: ChildSpec, confinement: Confinement): ChildSpec {
  const { memoryMib, maxOpenFiles } = confinement
  const script = [
    'ulimit -c 0',
    ...(memoryMib > 0 ? [`ulimit -d ${(memoryMib + RESERVED_MIB) * 1024}`] : []),
    // A lower limit of the server stays.
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

/** @throws ConfigError when there is no such user, or this process may not become another one. */
function findUser(wanted: string, hasSetpriv: boolean): WorkerUser {
  if (process.geteuid?.() !== 0)
    throw new ConfigError('workerUser needs a server that runs as root.')
  if (!hasSetpriv) throw new ConfigError('workerUser needs the program setpriv (util-linux).')
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(wanted) ?? []
  const user =
    uid === undefined
      ? userOf(wanted)
      : { uid: Number(uid), gid: gid === undefined ? Number(uid) : Number(gid) }
  if (user === undefined) throw new ConfigError(`workerUser: there is no user ${wanted}.`)
  if (user.uid === 0) throw new ConfigError('workerUser must not be root.')
  return user
}

function userOf(name: string): WorkerUser | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) => {
    const { status, stdout } = spawnSync('id', [flag, '--', name], { encoding: 'utf8' })
    return status === 0 ? Number(stdout.trim()) : undefined
  })
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

/** Root may make a network namespace as it is, others only inside a user namespace, where the system allows it. */
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
  throw new ConfigError(`Workers cannot be cut off from the network here: ${reason}.`)
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
