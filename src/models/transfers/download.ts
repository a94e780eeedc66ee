/** Downloads models: from allowed origins, without following redirects, into private files. */
import { createHash, randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import {
  checkFreeSpace,
  createPrivateFile,
  diskFull,
  isDiskFull,
  makePrivateFolder,
} from '../archives/private-file.ts'
import { modelExtension } from '../sources/model-name.ts'
import { checkHostAddress, guardedLookup } from './address-guard.ts'
import type { Resolve } from './address-guard.ts'
import { parseModelUrl, shownUrl } from './download-url.ts'
import { safeFileName } from './file-name.ts'

const SHA256 = /^[0-9a-f]{64}$/i
const MAX_HEADER_BYTES = 16 * 1024

/** Allowed origins and limits of a download. */
export interface DownloadOptions {
  /** Exact origins, `https://host[:port]`. If the list is empty, every URL is rejected. */
  readonly allowedOrigins: readonly string[]
  /** Whether an allowed host may have a private IP address. */
  readonly allowPrivateAddresses: boolean
  /** Folder for the file. If it is missing, it is created for this user only. */
  readonly folder: string
  readonly maxBytes: number
  /** Limit for the whole download. */
  readonly timeoutMs: number
  /** Limit between two chunks, and before the first. */
  readonly idleTimeoutMs: number
  /** Expected SHA-256 of the file: 64 hexadecimal digits. */
  readonly sha256?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called for each chunk; `total` is the announced size in bytes. */
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined
  /** Resolver of host names; default: the system's. */
  readonly resolve?: Resolve | undefined
}

/** A downloaded file. The caller owns it and removes it. */
export interface DownloadedFile {
  /** A random name with the extension of `name`, if that is an extension of a model. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  /** The last part of the URL's path, as a safe file name. */
  readonly name: string
}

/**
 * Downloads the model at `text`. No file is left after a failure.
 * @throws ServerError 400 or 403 for the URL; `DownloadModelException` 400 for a wrong response and
 * 504 for a timeout; 413 if the file is too large; 499 if `signal` was aborted; 507 if the disk is
 * full.
 */
export async function downloadModel(
  text: string,
  options: DownloadOptions,
): Promise<DownloadedFile> {
  const url = parseModelUrl(text, options.allowedOrigins)
  if (!options.allowPrivateAddresses) checkHostAddress(url.hostname)
  if (options.sha256 !== undefined && !SHA256.test(options.sha256)) {
    throw new ServerError('BadRequestException', 'A SHA-256 hash has 64 hexadecimal digits.')
  }
  return new Download(url, options).run()
}

class Download {
  readonly #url: URL
  readonly #options: DownloadOptions
  /** Aborted with the error of the download. */
  readonly #abort = new AbortController()

  constructor(url: URL, options: DownloadOptions) {
    this.#url = url
    this.#options = options
  }

  async run(): Promise<DownloadedFile> {
    const { timeoutMs, signal } = this.#options
    const whole = setTimeout(
      () => this.#abort.abort(this.#tooSlow('it took longer than', timeoutMs)),
      timeoutMs,
    )
    const cancel = (): void => {
      const text = 'The download was cancelled.'
      this.#abort.abort(new ServerError('ClientClosedRequestException', text))
    }
    signal?.addEventListener('abort', cancel, { once: true })
    if (signal?.aborted === true) cancel()
    const idle = this.#startIdleTimer()
    try {
      return await this.#receive(await this.#request(), idle)
    } catch (error) {
      throw this.#asServerError(error)
    } finally {
      clearTimeout(whole)
      clearTimeout(idle)
      signal?.removeEventListener('abort', cancel)
      // Closes the connection, even if data is still coming.
      this.#abort.abort()
    }
  }

  /** Resolves with the response headers. Node does not follow redirects or decompress by itself. */
  #request(): Promise<IncomingMessage> {
    const send = this.#url.protocol === 'https:' ? requestHttps : requestHttp
    return new Promise((resolve, reject) => {
      const request = send(this.#url, {
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'onnxd' },
        // Uses its own connection: an agent could reuse one without our lookup, or use a proxy.
        agent: false,
        lookup: guardedLookup(this.#options.allowPrivateAddresses, this.#options.resolve),
        maxHeaderSize: MAX_HEADER_BYTES,
        signal: this.#abort.signal,
      })
      request.once('response', resolve)
      request.on('error', reject)
      request.once('close', () => reject(new Error('The connection ended without a response')))
      request.end()
    })
  }

  async #receive(response: IncomingMessage, idle: NodeJS.Timeout): Promise<DownloadedFile> {
    const total = this.#checkHeaders(response)
    const { folder } = this.#options
    await makePrivateFolder(folder)
    if (total !== undefined) await checkFreeSpace(total, folder)
    const name = safeFileName(this.#url.pathname)
    const target = path.join(folder, `download-${randomUUID()}${modelExtension(name)}`)
    const file = await createPrivateFile(target)
    try {
      const received = { bytes: 0, hash: createHash('sha256') }
      try {
        await writeFile(file, this.#measured(response, { total, idle, received }))
      } finally {
        await file.close()
      }
      const sha256 = received.hash.digest('hex')
      const { bytes } = received
      if (total !== undefined && bytes !== total) throw this.#failed(': the body is incomplete')
      const wanted = this.#options.sha256?.toLowerCase()
      if (wanted !== undefined && wanted !== sha256) {
        throw this.#failed(`: its SHA-256 is ${sha256}, not ${wanted}`)
      }
      return { path: target, bytes, sha256, name }
    } catch (error) {
      await rm(target, { force: true })
      throw error
    }
  }

  /** Returns the announced size in bytes, if there is one. */
  #checkHeaders({ statusCode = 0, headers }: IncomingMessage): number | undefined {
    if (statusCode >= 300 && statusCode < 400) {
      throw this.#failed(`, code: ${statusCode} (redirects are not followed)`)
    }
    if (statusCode !== 200) throw this.#failed(`, code: ${statusCode}`)
    const encoding = headers['content-encoding'] ?? 'identity'
    if (encoding.trim().toLowerCase() !== 'identity') {
      throw this.#failed(': the response has a Content-Encoding, which is not supported')
    }
    if (/^text\/html\b/i.test(headers['content-type'] ?? '')) {
      throw this.#failed(': the response is an HTML page')
    }
    const length = headers['content-length']
    // Such a body ends with the connection, so a truncated one cannot be detected.
    if (length === undefined && headers['transfer-encoding'] === undefined) {
      throw this.#failed(': the response has no Content-Length')
    }
    const total = length === undefined ? undefined : Number(length)
    if (total !== undefined && total > this.#options.maxBytes) throw this.#tooLarge()
    return total
  }

  async *#measured(
    response: IncomingMessage,
    {
      total,
      idle,
      received,
    }: { total: number | undefined; idle: NodeJS.Timeout; received: Received },
  ): AsyncGenerator<Buffer> {
    const chunks: AsyncIterable<Buffer> = response
    for await (const chunk of chunks) {
      idle.refresh()
      received.bytes += chunk.length
      if (received.bytes > this.#options.maxBytes) throw this.#tooLarge()
      received.hash.update(chunk)
      this.#options.onProgress?.(received.bytes, total)
      yield chunk
    }
  }

  #startIdleTimer(): NodeJS.Timeout {
    const { idleTimeoutMs } = this.#options
    return setTimeout(
      () => this.#abort.abort(this.#tooSlow('no data arrived for', idleTimeoutMs)),
      idleTimeoutMs,
    )
  }

  #asServerError(error: unknown): ServerError {
    // The error of the stream does not contain the reason of an abort.
    const reason: unknown = this.#abort.signal.reason
    const first = reason instanceof ServerError ? reason : error
    if (first instanceof ServerError) return first
    if (isDiskFull(first)) return diskFull(first)
    const code = first instanceof Error && 'code' in first ? String(first.code) : ''
    return this.#failed(/^[A-Z][A-Z0-9_]+$/.test(code) ? ` (${code})` : '', first)
  }

  #failed(detail: string, cause?: unknown): ServerError {
    const text = `Failed to download model from: ${shownUrl(this.#url)}${detail}`
    return new ServerError('DownloadModelException', text, { cause })
  }

  #tooSlow(problem: string, milliseconds: number): ServerError {
    const url = shownUrl(this.#url)
    const text = `Failed to download model from: ${url}: ${problem} ${milliseconds / 1000} s`
    return new ServerError('DownloadModelException', text, { statusCode: 504 })
  }

  #tooLarge(): ServerError {
    const text = `The model is larger than ${this.#options.maxBytes} bytes: ${shownUrl(this.#url)}`
    return new ServerError('PayloadTooLargeException', text)
  }
}

interface Received {
  bytes: number
  readonly hash: ReturnType<typeof createHash>
}
