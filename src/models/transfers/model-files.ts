/** Model files from the network: downloads, uploads, and files that an earlier start kept. */
import { randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { ServerError } from '../../errors.ts'
import type { Delivery } from '../sources/prepare.ts'
import { shownUrl } from './download-url.ts'
import { downloadModel } from './download.ts'
import { Transfers } from './transfers.ts'

/** Maximum of transfers at the same time, uploads and downloads together. */
const MAX_TRANSFERS = 2

/** Receives model files, each into its own folder. The server has one. */
export class Deliveries {
  readonly transfers: Transfers
  readonly #root: string
  readonly #config: Config
  readonly #log: Logger

  /** @param root Private folder for the files. They survive a restart if it does. */
  constructor(root: string, config: Config, log: Logger) {
    this.transfers = new Transfers(MAX_TRANSFERS, log)
    this.#root = root
    this.#config = config
    this.#log = log
  }

  /** Returns the path of a new folder for one file; it does not exist yet. */
  newFolder(): string {
    return path.join(this.#root, randomUUID())
  }

  /**
   * Downloads a model from an allowed origin, until `signal` aborts it.
   * @throws ServerError as `downloadModel`.
   */
  async download(url: URL, sha256: string | undefined, signal: AbortSignal): Promise<Delivery> {
    const { allowedOrigins, allowPrivateAddresses, maxModelBytes, downloadTimeout } = this.#config
    const shown = shownUrl(url)
    const folder = this.newFolder()
    try {
      const file = await this.transfers.run('download', shown, (transfer) =>
        downloadModel(url.href, {
          allowedOrigins,
          allowPrivateAddresses,
          folder,
          maxBytes: maxModelBytes,
          timeoutMs: downloadTimeout * 1000,
          idleTimeoutMs: Math.min(downloadTimeout, 60) * 1000,
          sha256,
          signal,
          onProgress: (bytes, total) => transfer.advance(bytes, total),
        }),
      )
      this.#log.info({ url: shown, bytes: file.bytes }, 'model downloaded')
      return { folder, path: file.path, fileName: file.name, sha256: file.sha256 }
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /**
   * Returns a kept file by the name of its folder.
   * @throws ServerError `ModelNotFoundException` if the file is gone.
   */
  async kept(name: string, sha256: string | undefined): Promise<Delivery> {
    const folder = path.join(this.#root, name)
    const [file] = await readdir(folder).catch(() => [])
    if (file === undefined) {
      throw new ServerError('ModelNotFoundException', 'The file of the model no longer exists.')
    }
    return { folder, path: path.join(folder, file), fileName: file, sha256 }
  }

  /**
   * Removes kept files without a registration: a crash may happen between storing a file and its
   * registration.
   */
  async removeOthers(names: ReadonlySet<string>): Promise<void> {
    const found = await readdir(this.#root).catch(() => [])
    await Promise.all(
      found
        .filter((name) => !names.has(name))
        .map((name) => rm(path.join(this.#root, name), { recursive: true, force: true })),
    )
  }
}
