/** Where the programs of peers are. */
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { hasVenv, pythonEnvironment, runs } from '../../scripts/python-environment.ts'
import { PeerError } from './peer.ts'
import type { Peer } from './peer.ts'

const CACHE = process.env['ONNXD_BENCH_CACHE'] ?? path.join(tmpdir(), 'onnxd-bench-peers')
const PYTHON = process.env['ONNXD_BENCH_PYTHON'] ?? 'python3'

/** Why no peer can be installed here, `undefined` when they can. */
export function missingPython(): string | undefined {
  return hasVenv(PYTHON)
    ? undefined
    : `there is no ${PYTHON} with venv; ONNXD_BENCH_PYTHON names another`
}

/**
 * Folder with the programs of an environment that has the peer's packages, installed when it is not there
 * yet.
 *
 * @throws PeerError when it cannot be had.
 */
export function environmentOf(peer: Peer, say: (text: string) => void): string {
  if (peer.needsJava === true && !runs('java', ['-version']))
    throw new PeerError('there is no java')
  const folder = pythonEnvironment(peer, { python: PYTHON, cache: CACHE, say })
  if (folder === undefined) throw new PeerError('pip could not install it')
  return path.join(folder, 'bin')
}
