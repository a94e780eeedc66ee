import { totalmem } from 'node:os'
import process from 'node:process'

/** Returns the memory of the control group or, if that has no limit, of the machine, in bytes. */
export function memoryLimitBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
