/** The limits of the server, divided among its HTTP processes. */
import type { Config } from '../config/config.ts'
import { ConfigError } from '../errors.ts'
import { memorySettings } from '../models/residency/model-memory.ts'
import { partFile } from '../recording/recording.ts'
import { budgetBytes } from '../routes/http/byte-budget.ts'
import { partOf } from '../share.ts'
import type { Share } from '../share.ts'

const MIB = 1024 * 1024

/**
 * Returns the settings of one process. A limit that is 0 because each process finds its own, such
 * as a part of its open files, stays 0.
 */
export function settingsFor(config: Config, share: Share): Config {
  const part = (total: number): number => partOf(total, share)
  const memoryMib = Math.floor(budgetBytes(config.memoryBudgetMib) / MIB)
  const modelMemoryMib = Math.floor(memorySettings(config).budgetBytes / MIB)
  const { spareWorkers } = config
  const own: Partial<Config> = {
    queueSize: part(config.queueSize),
    queueBytes: part(config.queueBytes),
    maxConnections: part(config.maxConnections),
    memoryBudgetMib: part(memoryMib),
    modelMemoryMib: part(modelMemoryMib),
    rateLimit: part(config.rateLimit),
    // `auto` keeps one spare worker, which process 0 has.
    spareWorkers: spareWorkers === 'auto' ? spareFor(share) : sparesOf(spareWorkers, share),
  }
  if (share.index === 0) return Object.freeze({ ...config, ...own })
  const record = config.record === '' ? '' : partFile(config.record, share.index)
  return Object.freeze({ ...config, ...own, record })
}

/** @throws ConfigError for settings that do not work with several processes. */
export function checkSettings(config: Config): void {
  const { host, port, managementHost, managementPort, exposeRepository } = config
  if (port !== 0 && port === managementPort && host === managementHost) {
    throw new ConfigError(
      'Several HTTP processes need a management listener of its own, because only one of them manages models. Set --management-port to another port than --port, or --http-processes to 1.',
    )
  }
  if (exposeRepository) {
    throw new ConfigError(
      '--expose-repository does not work with several HTTP processes, because only one of them manages models. Use the management listener to load models, or set --http-processes to 1.',
    )
  }
}

function spareFor({ index }: Share): Config['spareWorkers'] {
  return index === 0 ? 'auto' : 0
}

/** Spare workers are the only limit that may be 0 in some processes. */
function sparesOf(total: number, share: Share): number {
  return share.index < total ? partOf(total, share) : 0
}
