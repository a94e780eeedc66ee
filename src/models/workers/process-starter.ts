import path from 'node:path'
import type { Config } from '../../config/config.ts'
import { READY_LINE } from '../../contract/worker-lines.ts'
import { BodyFile } from '../../worker/host/body-file.ts'
import { StartedProcess } from '../../worker/host/child-process/worker-process.ts'
import type { ProcessSpec } from '../../worker/host/child-process/worker-process.ts'
import { confine } from '../../worker/host/confinement.ts'
import type { Confinement } from '../../worker/host/confinement.ts'
import { OPTIONS_FILE, ownWorker, workerEnvironment } from '../../worker/host/own-worker.ts'
import type { RuntimeDirectory } from '../../worker/host/runtime-directory.ts'

/** Name of a worker's socket, in the worker's own folder. */
export const SOCKET = 'w.sock'

/** What a starter needs from the server. */
export interface StarterOptions {
  readonly config: Config
  readonly runtime: RuntimeDirectory
  readonly environment: NodeJS.ProcessEnv
  readonly confinement: Confinement
}

/** A process of onnxd's own worker. */
export interface OwnProcess {
  readonly process: StartedProcess
  /**
   * Gives the process the options of its model, before the load.
   * @throws Error of the system when they cannot be written.
   */
  giveOptions(options: string): void
}

/**
 * Starts worker processes, confined, each with a folder of its own that is removed when the process
 * has ended. The server has one starter.
 */
export class ProcessStarter {
  /** The environment that every worker gets. */
  readonly environment: Readonly<Record<string, string>>
  readonly #config: Config
  readonly #runtime: RuntimeDirectory
  readonly #confinement: Confinement
  readonly #running = new Set<StartedProcess>()

  constructor({ config, runtime, environment, confinement }: StarterOptions) {
    this.#config = config
    this.#runtime = runtime
    this.#confinement = confinement
    this.environment = workerEnvironment(environment, config.workerEnvironment)
  }

  newFolder(): string {
    return this.#runtime.newWorkerFolder()
  }

  /**
   * Starts onnxd's own worker.
   * @param isBuiltIn Whether it is for a built-in handler.
   * @param options Options of its model; absent for a process whose model is not known yet.
   */
  startOwn(isBuiltIn: boolean, options?: string): OwnProcess {
    const { workerHeapMib, telemetry } = this.#config
    const folder = this.newFolder()
    const socketPath = path.join(folder, SOCKET)
    // A custom handler may keep its input; the built-in handlers do not.
    const bodies = isBuiltIn ? BodyFile.create() : undefined
    const giveOptions = (text: string): void =>
      this.#runtime.writeWorkerFile(path.join(folder, OPTIONS_FILE), text)
    const child = ownWorker(
      {
        folder,
        socketPath,
        isBuiltIn,
        heapMib: workerHeapMib,
        allowTelemetry: telemetry,
        hasBodyFile: bodies !== undefined,
      },
      this.environment,
    )
    const prepare = options === undefined ? undefined : (): void => giveOptions(options)
    const process = this.start(folder, {
      child: { ...child, hasChannel: !isBuiltIn, ...(prepare && { prepare }) },
      address: { path: socketPath },
      readyLine: READY_LINE,
      bodies,
    })
    return { process, giveOptions }
  }

  /**
   * Starts a process confined, with the folder that it needs.
   * @param tidyUp Is called when the process has ended.
   */
  start(
    folder: string,
    spec: Omit<ProcessSpec, 'folder'>,
    tidyUp = (): void => {},
  ): StartedProcess {
    const prepare = (): void => {
      this.#runtime.makeWorkerFolder(folder)
      spec.child.prepare?.()
    }
    const process = new StartedProcess({
      ...spec,
      folder,
      child: { ...confine(spec.child, this.#confinement), prepare },
    })
    this.#running.add(process)
    void process.exited.then(() => {
      this.#running.delete(process)
      tidyUp()
      this.#runtime.removeWorkerFolder(folder)
    })
    return process
  }

  /** Kills every process. */
  async close(): Promise<void> {
    const running = [...this.#running]
    for (const process of running) process.kill()
    await Promise.all(running.map((process) => process.exited))
  }
}
