/** Installs the programs of the peers. */
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { hasVenv, pythonEnvironment, runs } from '../../scripts/python-environment.ts'
import { PeerError } from './peer.ts'
import type { Peer } from './peer.ts'

const CACHE = process.env['ONNXD_BENCH_CACHE'] ?? path.join(tmpdir(), 'onnxd-bench-peers')
const PYTHON = process.env['ONNXD_BENCH_PYTHON'] ?? 'python3'

/** The reason why no peer can be installed here, `undefined` if peers can be installed. */
export function missingPython(): string | undefined {
  return hasVenv(PYTHON)
    ? undefined
    : `there is no ${PYTHON} with venv; ONNXD_BENCH_PYTHON names another`
}

/**
 * Folder of the programs of an environment with the peer's packages. Installs the environment if it
 * is missing.
 * @throws PeerError if it cannot be installed.
 */
export async function environmentOf(peer: Peer, say: (text: string) => void): Promise<string> {
  if (peer.needsJava === true && !runs('java', ['-version']))
    throw new PeerError('there is no java')
  const folder = await pythonEnvironment(peer, { python: PYTHON, cache: CACHE, say })
  if (folder === undefined) throw new PeerError('pip could not install it')
  return path.join(folder, 'bin')
}
