import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import process from 'node:process'
import { loadTool } from './load.ts'

/** Properties of the machine on which the results depend. */
export function machineFacts(): Record<string, string | number> {
  const processors = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    linux: release(),
    node: process.versions.node,
    commit: commit(),
    client: loadTool(),
    loadAverage: loadavg()
      .map((value) => value.toFixed(2))
      .join(' '),
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
