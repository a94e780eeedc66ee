/**
 * Writes the worker's output to two FIFOs, as soon as they have a reader. See
 * `docs/worker-protocol.md`.
 */
import { execFile } from 'node:child_process'
import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { ProtocolError, messageOf } from '../../../errors.ts'
import type { ProcessOutput, StandardStream } from './output.ts'
import type { TemporaryFiles } from './temporary-files.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
const DESCRIPTOR = /^[A-Za-z0-9._-]{1,200}$/
const FIRST_RETRY_MS = 1
const LAST_RETRY_MS = 50
const run = promisify(execFile)

/** The FIFOs of one connection. */
export class IoFifos {
  readonly #stdout: OutputFifo
  readonly #stderr: OutputFifo

  private constructor(stem: string, output: ProcessOutput, files: TemporaryFiles) {
    this.#stdout = new OutputFifo(`${stem}-stdout`, output.stdout, files)
    this.#stderr = new OutputFifo(`${stem}-stderr`, output.stderr, files)
  }

  /**
   * Creates `<descriptor>-stdout` and `<descriptor>-stderr` in `folder` with mode 0600.
   * @throws ProtocolError when the descriptor is in use, is not a plain file name, or the FIFOs
   * cannot be created.
   */
  static async create(
    folder: string,
    descriptor: string,
    output: ProcessOutput,
    files: TemporaryFiles,
  ): Promise<IoFifos> {
    if (!DESCRIPTOR.test(descriptor) || descriptor.includes('..')) {
      throw new ProtocolError(`IO descriptor ${JSON.stringify(descriptor)} is not a file name`)
    }
    const stem = path.join(folder, descriptor)
    const names = [`${stem}-stdout`, `${stem}-stderr`]
    if (names.some((name) => lstatSync(name, { throwIfNoEntry: false }) !== undefined)) {
      throw new ProtocolError(`IO descriptor ${JSON.stringify(descriptor)} is in use`)
    }
    try {
      await run('mkfifo', ['-m', '600', ...names])
    } catch (cause) {
      throw new ProtocolError(`The IO FIFOs cannot be created: ${messageOf(cause)}`, { cause })
    }
    for (const name of names) files.add(name)
    return new IoFifos(stem, output, files)
  }

  /**
   * Redirects stdout and stderr to the FIFOs, each as soon as it has a reader. An MMS worker waits
   * for its readers here and replies to nothing until they come; this method returns at once.
   */
  attach(): void {
    this.#stdout.attach(FIRST_RETRY_MS)
    this.#stderr.attach(FIRST_RETRY_MS)
  }

  /** Restores the previous output and removes the FIFOs. Safe to call again. */
  close(): void {
    this.#stdout.close()
    this.#stderr.close()
  }
}

class OutputFifo {
  readonly #path: string
  readonly #stream: StandardStream
  readonly #files: TemporaryFiles
  #retry: NodeJS.Timeout | undefined
  #fd: number | undefined

  constructor(fifoPath: string, stream: StandardStream, files: TemporaryFiles) {
    this.#path = fifoPath
    this.#stream = stream
    this.#files = files
  }

  attach(retryMs: number): void {
    try {
      this.#fd = openFifo(this.#path)
    } catch (error) {
      if (hasNoReader(error)) {
        const nextMs = Math.min(retryMs * 2, LAST_RETRY_MS)
        this.#retry = setTimeout(() => this.attach(nextMs), retryMs).unref()
      } else {
        console.error(`The output cannot be redirected to ${this.#path}: ${messageOf(error)}`)
      }
      return
    }
    this.#stream.turnTo(this.#fd)
  }

  close(): void {
    clearTimeout(this.#retry)
    if (this.#fd !== undefined) this.#stream.turnFrom(this.#fd)
    this.#fd = undefined
    this.#files.remove(this.#path)
  }
}

/**
 * Opens the write end. With O_NONBLOCK this fails with ENXIO, instead of waiting, while the FIFO
 * has no reader.
 */
function openFifo(fifoPath: string): number {
  const fd = openSync(fifoPath, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)
  if (fstatSync(fd).isFIFO()) return fd
  closeSync(fd)
  throw new Error('it is no longer a FIFO')
}

function hasNoReader(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENXIO'
}
