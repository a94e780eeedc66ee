/** Python packages of peers, in virtual environments outside the checkout, made once and kept. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { PeerError } from './peer.ts'
import type { Peer } from './peer.ts'

const CACHE = process.env['ONNXD_BENCH_CACHE'] ?? path.join(tmpdir(), 'onnxd-bench-peers')
const PYTHON = process.env['ONNXD_BENCH_PYTHON'] ?? 'python3'
const INSTALL_TIMEOUT_MS = 600_000

/** Why no peer can be installed here, `undefined` when they can. */
export function missingPython(): string | undefined {
  return runs(PYTHON, ['-c', 'import venv, ensurepip'])
    ? undefined
    : `there is no ${PYTHON} with venv; ONNXD_BENCH_PYTHON names another`
}

/**
 * Folder with the programs of an environment that has the peer's packages, installed when it is not there
 * yet.
 *
 * @throws PeerError when it cannot be had.
 */
export function environmentOf(peer: Peer, note: (text: string) => void): string {
  const { name, packages, needsJava = false, noDependencies = false } = peer
  if (needsJava && !runs('java', ['-version'])) throw new PeerError('there is no java')
  const version = spawnSync(PYTHON, ['-VV'], { encoding: 'utf8' }).stdout
  const key = createHash('sha256')
    .update([version, String(noDependencies), ...packages].join('\n'))
    .digest('hex')
  const folder = path.join(CACHE, `${name.toLowerCase()}-${key.slice(0, 12)}`)
  const bin = path.join(folder, 'bin')
  const complete = path.join(folder, '.complete')
  if (existsSync(complete)) return bin
  note(`installing ${packages.join(', ')} in ${folder}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(CACHE, { recursive: true })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
  if (noDependencies) pip.push('--no-deps')
  const isMade =
    runs(PYTHON, ['-m', 'venv', folder]) && runs(path.join(bin, 'python'), [...pip, ...packages])
  if (!isMade) {
    rmSync(folder, { recursive: true, force: true })
    throw new PeerError('pip could not install it')
  }
  writeFileSync(complete, '')
  return bin
}

function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: INSTALL_TIMEOUT_MS }).status === 0
}
