/**
 * The state of the server for the console, in named parts. Everything is read from where the other
 * management routes read it.
 */
import { memoryLimitBytes } from '../../machine-memory.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { readPackageVersion } from '../../package-files.ts'
import { showFailure, showLoads, showTransfer } from '../management/list-entries.ts'
import type { RouteContext } from '../route-context.ts'
import { ProcessMemory } from './process-memory.ts'
import { describeLive } from './version-part.ts'

/** Each part as JSON, by its name: `server`, `model/iris/1.0` and so on. */
export type Parts = ReadonlyMap<string, string>

/** Maximum number of model versions. A server can have many thousands that nobody uses. */
const MAX_VERSIONS = 500

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
    const { registry, deliveries, metrics, modelMemory } = this.#context
    const { all } = registry
    const shown = mostActive(all)
    const pids = shown.flatMap(({ status }) => status.workers.map(({ worker }) => worker.pid))
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
        totalVersions: all.length,
      },
      process: { residentBytes: process.memoryUsage.rss(), limitBytes: memoryLimitBytes() },
      modelMemory: {
        budgetBytes: modelMemory.budgetBytes,
        usedBytes: modelMemory.usedBytes,
        loadedModels: modelMemory.loadedModels,
        isThrashing: modelMemory.isThrashing,
      },
      responses: {
        inference: Object.fromEntries(metrics.responses.inference.entries),
        management: Object.fromEntries(metrics.responses.management.entries),
      },
      loading: showLoads(registry),
      failed: registry.failures.all.map(showFailure),
      transfers: deliveries.transfers.current.map(showTransfer),
    }
    for (const model of shown) {
      const isDefault = registry.isDefault(model)
      const key = `model/${encodeURIComponent(model.name)}/${encodeURIComponent(model.version)}`
      parts[key] = describeLive(model, isDefault, (pid) => this.#memory.of(pid))
    }
    for (const { name, rollout } of registry.rollouts.shown)
      parts[`rollout/${encodeURIComponent(name)}`] = { name, ...rollout }
    return new Map(Object.entries(parts).map(([name, value]) => [name, JSON.stringify(value)]))
  }

  #state(): 'STARTING' | 'READY' | 'STOPPING' {
    const { isAccepting, isStopping } = this.#context
    if (isStopping()) return 'STOPPING'
    return isAccepting() ? 'READY' : 'STARTING'
  }
}

/** Versions with workers or requests first, if there are too many. */
function mostActive(all: readonly ModelVersion[]): readonly ModelVersion[] {
  if (all.length <= MAX_VERSIONS) return all
  const isActive = (model: ModelVersion): boolean =>
    model.status.workers.length > 0 || !model.statistics.isUntouched
  const active = all.filter(isActive)
  const others = all.filter((model) => !isActive(model))
  return [...active, ...others].slice(0, MAX_VERSIONS)
}
