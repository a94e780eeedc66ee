/**
 * The state of the server for the console, in named parts. Everything is read from where the other
 * management routes read it.
 */
import { readPackageVersion } from '../../package-files.ts'
import { memoryLimitBytes } from '../../system/machine-memory.ts'
import { showFailure, showLoads, showTransfer } from '../management/list-entries.ts'
import type { RouteContext } from '../route-context.ts'
import { addProcesses, liveProcess } from './live-process.ts'
import { ProcessMemory } from './process-memory.ts'
import type { LiveVersion } from './version-part.ts'

/** Each part as JSON, by its name: `server`, `model/iris/1.0` and so on. */
export type Parts = ReadonlyMap<string, string>

/** Reads the state of one server. */
export class ServerSnapshot {
  readonly #context: RouteContext
  readonly #memory = new ProcessMemory()
  readonly #version = readPackageVersion()
  readonly #startedAt = new Date(Date.now() - process.uptime() * 1000).toISOString()

  constructor(context: RouteContext) {
    this.#context = context
  }

  async read(): Promise<Parts> {
    const { registry, deliveries, others } = this.#context
    const own = liveProcess(this.#context)
    const live = others === undefined ? own : addProcesses(own, await others.live())
    const pids = live.versions.flatMap(({ workers }) => workers.map(({ pid }) => pid))
    await this.#memory.update(pids.filter((pid) => pid !== undefined))
    const parts: Record<string, unknown> = {
      server: {
        version: await this.#version,
        node: process.version,
        pid: process.pid,
        startedAt: this.#startedAt,
        state: this.#state(),
        hasToken: this.#context.config.managementToken !== '',
        savesState: this.#context.config.stateDir !== '',
        totalVersions: registry.all.length,
      },
      process: { residentBytes: live.residentBytes, limitBytes: memoryLimitBytes() },
      modelMemory: live.modelMemory,
      responses: live.responses,
      loading: showLoads(registry),
      failed: registry.failures.all.map(showFailure),
      transfers: deliveries.transfers.current.map(showTransfer),
    }
    for (const version of live.versions) {
      const key = `model/${encodeURIComponent(version.name)}/${encodeURIComponent(version.version)}`
      parts[key] = this.#withMemory(version)
    }
    for (const { name, rollout } of registry.rollouts.shown)
      parts[`rollout/${encodeURIComponent(name)}`] = { name, ...rollout }
    return new Map(Object.entries(parts).map(([name, value]) => [name, JSON.stringify(value)]))
  }

  #withMemory(version: LiveVersion): LiveVersion {
    const workers = version.workers.map((worker) => {
      const memory = worker.pid === undefined ? undefined : this.#memory.of(worker.pid)
      return memory === undefined ? worker : { ...worker, memory }
    })
    return { ...version, workers }
  }

  #state(): 'STARTING' | 'READY' | 'STOPPING' {
    const { isAccepting, isStopping } = this.#context
    if (isStopping()) return 'STOPPING'
    return isAccepting() ? 'READY' : 'STARTING'
  }
}
