/** The key of an entry: a hash of everything that its files depend on. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { env } from 'onnxruntime-node'
import { ENTRY_FORMAT } from '../../../contract/shared-weights.ts'
import type { WeightsJob } from '../../../contract/shared-weights.ts'
import { sha256Of } from './digest.ts'

/** Lines of `/proc/cpuinfo` that choose the kernels of onnxruntime, and so the packed weights. */
const CPU_LINE = /^(?:vendor_id|cpu family|model|model name|stepping|flags|Features|CPU [\w ]+)\s*:/

/** The version of onnxruntime in this process. */
export function runtimeVersion(): string {
  return env.versions.node ?? env.versions.common
}

/** Model and features of the first CPU. */
export function cpuText(): string {
  try {
    const [first = ''] = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1)
    const lines = first.split('\n').filter((line) => CPU_LINE.test(line))
    if (lines.length > 0) return lines.join('\n')
  } catch {
    // The system has no /proc.
  }
  return os.cpus()[0]?.model ?? 'unknown'
}

/** @param hashes SHA-256 of each source of the job, in its order. */
export function keyOf(job: WeightsJob, hashes: readonly string[]): string {
  const files = job.sources.map(({ name }, index) => [index === 0 ? '' : name, hashes[index]])
  const { platform, arch } = process
  const parts = [ENTRY_FORMAT, runtimeVersion(), platform, arch, cpuText(), job.graphOptimization]
  return sha256Of(JSON.stringify([...parts, ...files]))
}
