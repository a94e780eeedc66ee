import type { Readable } from 'node:stream'

/** Longest line kept; the rest of a longer one is dropped and counted. */
const MAX_LINE_BYTES = 16 * 1024
/** Bytes read per second; above it the stream is paused, so a flooding worker slows itself down. */
const BYTES_PER_SECOND = 1024 * 1024
/** A line costs its handling however short it is. */
const BYTES_PER_LINE = 64
const SECOND_MS = 1000
const NEWLINE = 0x0a

/**
 * Splits a worker's output into lines and hands on those that are not empty, at a bounded rate and in
 * bounded memory (an endless line would grow for ever, a flood would take two thirds of the
 * front-end's core).
 */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let droppedBytes = 0
  let budget = BYTES_PER_SECOND
  let budgetSince = performance.now()
  let resume: NodeJS.Timeout | undefined

  const keep = (part: Buffer): void => {
    const kept = part.subarray(0, Math.max(0, MAX_LINE_BYTES - pendingBytes))
    if (kept.length > 0) pending.push(kept)
    pendingBytes += kept.length
    droppedBytes += part.length - kept.length
  }
  const flush = (): void => {
    budget -= BYTES_PER_LINE
    const line = Buffer.concat(pending).toString('utf8').replace(/\r$/, '')
    if (line !== '') onLine(droppedBytes > 0 ? `${line}… [${droppedBytes} bytes dropped]` : line)
    pending = []
    pendingBytes = 0
    droppedBytes = 0
  }
  /** What one second allows is not saved up for the next; what was taken too much is paid back. */
  const renewBudget = (): void => {
    const now = performance.now()
    const seconds = Math.floor((now - budgetSince) / SECOND_MS)
    if (seconds === 0) return
    budget = Math.min(BYTES_PER_SECOND, budget + seconds * BYTES_PER_SECOND)
    budgetSince += seconds * SECOND_MS
  }

  stream.on('data', (chunk: Buffer) => {
    renewBudget()
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
    const seconds = Math.ceil((1 - budget) / BYTES_PER_SECOND)
    const resumesAt = budgetSince + seconds * SECOND_MS
    resume = setTimeout(
      () => {
        resume = undefined
        stream.resume()
      },
      Math.ceil(resumesAt - performance.now()),
    )
    resume.unref()
  })
  stream.once('close', () => {
    clearTimeout(resume)
    if (pendingBytes > 0) flush()
  })
  // A reset pipe only means that the worker is gone; its exit says why.
  stream.on('error', () => stream.destroy())
}
