/** The reading end of the FIFOs that an MMS worker makes for its output (MMS worker process, section 1.5). */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { readLines } from './line-reader.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
const STREAMS = ['stdout', 'stderr'] as const
/** What a worker wrote last may still be read for so long after its end. */
const OUTPUT_GRACE_MS = 500

/** `<descriptor>-stdout` and `<descriptor>-stderr` in a folder, made by one worker. */
export class IoFifos {
  /** For the load request: a name that nobody has used before. */
  readonly descriptor: string
  readonly #stem: string
  readonly #sockets: Socket[] = []

  constructor(folder: string, descriptor: string) {
    this.descriptor = descriptor
    this.#stem = path.join(folder, descriptor)
  }

  /**
   * Opens both and hands on their lines. The worker waits for this after its load reply.
   * @throws Error when the worker made no FIFOs.
   */
  open(onLine: (line: string, stream: 'stdout' | 'stderr') => void): void {
    for (const stream of STREAMS) {
      // For reading and writing: this never waits, and keeps on when the worker closes its end.
      const fd = openSync(`${this.#stem}-${stream}`, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
      if (!fstatSync(fd).isFIFO()) {
        closeSync(fd)
        throw new Error(`the worker made no FIFO for its ${stream}`)
      }
      const socket = new Socket({ fd, readable: true, writable: false })
      this.#sockets.push(socket)
      readLines(socket, (line) => onLine(line, stream))
    }
  }

  /** Stops reading, a moment after the worker has ended. The files go with the folder of the worker. */
  close(): void {
    setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, OUTPUT_GRACE_MS).unref()
  }
}
