import type { Readable } from 'node:stream'

/**
 * Bytes of the longest line that is kept. The rest of a longer line is dropped, and its bytes are
 * counted.
 */
const MAX_LINE_BYTES = 16 * 1024
/**
 * Bytes that are read per time slice, which is 1 MiB per second. Above it the stream is paused, so
 * a worker that floods its output slows only itself down. Slices are short because requests wait
 * while the bytes of a slice are split into lines.
 */
const BYTES_PER_SLICE = (1024 * 1024) / 20
const SLICE_MS = 50
/**
 * Each line also costs this many bytes of the budget, because even a short line takes time to
 * handle.
 */
const BYTES_PER_LINE = 64
const NEWLINE = 0x0a

/**
 * Splits a worker's output into lines and passes on the lines that are not empty, at a limited rate
 * and with limited memory. Without the limits an endless line would use up memory, and a flood of
 * lines would take two thirds of the front-end's core.
 */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let droppedBytes = 0
  let budget = BYTES_PER_SLICE
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
  /**
   * A slice's unused budget is not added to the next slice; bytes that were read beyond it are
   * subtracted.
   */
  const renewBudget = (): void => {
    const now = performance.now()
    const slices = Math.floor((now - budgetSince) / SLICE_MS)
    if (slices === 0) return
    budget = Math.min(BYTES_PER_SLICE, budget + slices * BYTES_PER_SLICE)
    budgetSince += slices * SLICE_MS
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
    const slices = Math.ceil((1 - budget) / BYTES_PER_SLICE)
    const resumesAt = budgetSince + slices * SLICE_MS
    resume = setTimeout(
      () => {
        resume = undefined
        stream.resume()
      },
      // On a busy machine that time may have passed, and Node 24 warns about negative times.
      Math.max(0, Math.ceil(resumesAt - performance.now())),
    )
    resume.unref()
  })
  stream.once('close', () => {
    clearTimeout(resume)
    if (pendingBytes > 0) flush()
  })
  // A pipe error only means that the worker is gone; its exit gives the reason.
  stream.on('error', () => stream.destroy())
}
