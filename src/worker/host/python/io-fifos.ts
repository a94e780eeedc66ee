/**
 * The reading end of the FIFOs that an MMS worker creates for its output. See
 * `docs/worker-protocol.md`.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { readLines } from '../child-process/line-reader.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
const STREAMS = ['stdout', 'stderr'] as const
/** Milliseconds for which the last output of a worker is still read after its end. */
const OUTPUT_GRACE_MS = 500

/**
 * The files `<descriptor>-stdout` and `<descriptor>-stderr` in a folder, which one worker creates.
 */
export class IoFifos {
  /** IO descriptor of the load request: a name that was not used before. */
  readonly descriptor: string
  readonly #stem: string
  readonly #sockets: Socket[] = []

  constructor(folder: string, descriptor: string) {
    this.descriptor = descriptor
    this.#stem = path.join(folder, descriptor)
  }

  /**
   * Opens both FIFOs and passes on their lines. After its load reply the worker waits until they
   * are open.
   * @throws Error when the worker created no FIFOs.
   */
  open(onLine: (line: string, stream: 'stdout' | 'stderr') => void): void {
    for (const stream of STREAMS) {
      // O_RDWR: the call never blocks, and reading goes on when the worker closes its end.
      const fd = openSync(`${this.#stem}-${stream}`, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
      if (!fstatSync(fd).isFIFO()) {
        closeSync(fd)
        throw new Error(`the worker did not create a FIFO for its ${stream}`)
      }
      const socket = new Socket({ fd, readable: true, writable: false })
      this.#sockets.push(socket)
      readLines(socket, (line) => onLine(line, stream))
    }
  }

  /**
   * Stops reading, a moment after the worker has ended. The files are removed with the worker's
   * folder.
   */
  close(): void {
    setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, OUTPUT_GRACE_MS).unref()
  }
}
