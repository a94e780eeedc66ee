/** Checks of processors, memory, limits and the init process. */
import { readFile, readdir, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import process from 'node:process'
import type { Config } from '../../../config/config.ts'
import { memoryLimitBytes } from '../../../system/machine-memory.ts'
import { descriptorLimit } from '../../../system/process-identity.ts'
import { plural, sizeText } from '../../terminal/units.ts'
import type { Examined } from './examined.ts'

const MIB = 1024 * 1024
/** A server with one small model uses about half of this. */
const LEAST_MEMORY = 256 * MIB
/** Bodies of one worker use up to this much of `/dev/shm`. */
const SHARED_MEMORY_PER_WORKER = 64 * MIB
const LEAST_FILES = 4096
const LEAST_PROCESSES = 256
/** Programs that do not wait for orphans when they are process 1. */
const NO_INITS = /^(?:node|npm|MainThread|onnxd|python|java|dash)/
/** Fewer zombies are the normal case: their parent reads them in a moment. */
const MANY_ZOMBIES = 10

/** Processors, memory and shared memory. */
export async function checkMachine({ workers, threads }: Config): Promise<Examined[]> {
  const cores = availableParallelism()
  const model = cpus()[0]?.model.trim() ?? ''
  const wanted = workers * Math.max(threads, 1)
  const cpu: Examined =
    wanted > cores
      ? {
          name: 'processors',
          state: 'warning',
          text: `${plural(cores, 'core')} for ${plural(wanted, 'thread')} of each model`,
          remedy: 'Lower --workers or --threads.',
        }
      : {
          name: 'processors',
          state: 'ok',
          text: `${plural(cores, 'core')}${model === '' ? '' : `, ${model}`}`,
        }
  return [cpu, await checkMemory(), ...(await checkSharedMemory(workers))]
}

/** Limits of the process, the init process and zombies. */
export async function checkLimits(config: Config): Promise<Examined[]> {
  const files = descriptorLimit()
  const open: Examined =
    files >= LEAST_FILES
      ? { name: 'open files', state: 'ok', text: `limit ${files}` }
      : {
          name: 'open files',
          state: 'warning',
          text: `limit ${files}; each connection needs one, and a worker about 30`,
          remedy: `Raise the limit: ulimit -n 65536, or LimitNOFILE in systemd. Now at most ${config.maxConnections || Math.min(10_000, Math.floor(files / 4))} connections of each listener are open.`,
        }
  return [open, ...(await checkProcesses()), ...(await checkInit())]
}

async function checkMemory(): Promise<Examined> {
  const limit = memoryLimitBytes()
  const available = Math.min(await availableBytes(), limit)
  const where = limit < totalmem() ? 'the container has' : 'the machine has'
  const text = `${sizeText(available)} free, ${where} ${sizeText(limit)}`
  if (available >= LEAST_MEMORY) return { name: 'memory', state: 'ok', text }
  const remedy = 'Free memory. A server with one small model needs about 150 MiB.'
  return { name: 'memory', state: 'problem', text, remedy }
}

async function checkSharedMemory(workers: number): Promise<Examined[]> {
  const name = '/dev/shm'
  try {
    const { bavail, bsize, blocks } = await statfs('/dev/shm')
    const [free, size] = [bavail * bsize, blocks * bsize]
    const text = `${sizeText(free)} free of ${sizeText(size)}`
    if (free >= SHARED_MEMORY_PER_WORKER * Math.max(1, workers))
      return [{ name, state: 'ok', text }]
    const remedy =
      'Start the container with --shm-size 256m. Until then large bodies use the slower socket.'
    return [{ name, state: 'warning', text, remedy }]
  } catch {
    if (process.platform !== 'linux') return []
    const remedy = 'Mount a tmpfs at /dev/shm. Until then large bodies use the slower socket.'
    return [{ name, state: 'warning', text: 'does not exist', remedy }]
  }
}

async function checkProcesses(): Promise<Examined[]> {
  const limits = await readText('/proc/self/limits')
  const [, soft = ''] = /^Max processes\s+(\S+)/m.exec(limits) ?? []
  const cgroup = (await readText('/sys/fs/cgroup/pids.max')).trim()
  const numbers = [soft, cgroup].filter((text) => /^\d+$/.test(text)).map(Number)
  if (numbers.length === 0) return []
  const least = Math.min(...numbers)
  const name = 'processes'
  if (least >= LEAST_PROCESSES) return [{ name, state: 'ok', text: `limit ${least}` }]
  const remedy = 'Raise the limit: ulimit -u, --pids-limit of Docker, or TasksMax in systemd.'
  return [
    { name, state: 'warning', text: `limit ${least}; each worker has about 15 threads`, remedy },
  ]
}

/** Orphans of workers stay as zombies if process 1 does not wait for them. */
async function checkInit(): Promise<Examined[]> {
  const first = (await readText('/proc/1/comm')).trim()
  if (first === '') return []
  const zombies = await countZombies()
  const name = 'init'
  const counted = zombies === 0 ? '' : `; ${plural(zombies, 'zombie')} now`
  const isInit = process.pid !== 1 && !NO_INITS.test(first) && zombies < MANY_ZOMBIES
  if (isInit) return [{ name, state: 'ok', text: `process 1 is ${first}${counted}` }]
  const remedy =
    'If the server itself is process 1, start it under an init: docker run --init, init: true (Compose) or shareProcessNamespace: true (Kubernetes).'
  const text = `process 1 is ${first}, which may not wait for orphans${counted}. They stay as zombies and count against the limit of processes.`
  return [{ name, state: 'warning', text, remedy }]
}

async function countZombies(): Promise<number> {
  const names = await readdir('/proc').catch(() => [])
  const stats = await Promise.all(
    names.filter((name) => /^\d+$/.test(name)).map((pid) => readText(`/proc/${pid}/stat`)),
  )
  return stats.filter((text) => /\) Z /.test(text)).length
}

async function availableBytes(): Promise<number> {
  const [, kib] = /^MemAvailable:\s+(\d+) kB/m.exec(await readText('/proc/meminfo')) ?? []
  return kib === undefined ? freemem() : Number(kib) * 1024
}

async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
