import type { Readable } from 'node:stream'

/** Longest line kept; the rest of a longer one is dropped and counted. */
const MAX_LINE_BYTES = 16 * 1024
/** Bytes read per second; above it the stream is paused, so a flooding worker slows itself down. */
const BYTES_PER_SECOND = 1024 * 1024
const NEWLINE = 0x0a

/**
 * Splits a worker's output into lines and hands them on, at a bounded rate and in bounded memory
 * (an endless line would grow for ever, a flood would take two thirds of the front-end's core).
 */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let droppedBytes = 0
  let budget = BYTES_PER_SECOND
  let resume: NodeJS.Timeout | undefined

  const keep = (part: Buffer): void => {
    const kept = part.subarray(0, Math.max(0, MAX_LINE_BYTES - pendingBytes))
    if (kept.length > 0) pending.push(kept)
    pendingBytes += kept.length
    droppedBytes += part.length - kept.length
  }
  const flush = (): void => {
    const line = Buffer.concat(pending).toString('utf8').replace(/\r$/, '')
    onLine(droppedBytes > 0 ? `${line}… [${droppedBytes} bytes dropped]` : line)
    pending = []
    pendingBytes = 0
    droppedBytes = 0
  }

  stream.on('data', (chunk: Buffer) => {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end))
      flush()
      start = end + 1
    }
    if (start < chunk.length) keep(chunk.subarray(start))
    budget -= chunk.length
    if (budget > 0 || resume !== undefined) return
    stream.pause()
    resume = setTimeout(() => {
      budget = BYTES_PER_SECOND
      resume = undefined
      stream.resume()
    }, 1000)
    resume.unref()
  })
  stream.once('close', () => {
    clearTimeout(resume)
    if (pendingBytes > 0) flush()
  })
  // A reset pipe only means that the worker is gone; its exit says why.
  stream.on('error', () => stream.destroy())
}
