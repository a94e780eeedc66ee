/** What a worker has started, in the process group that it leads. The front-end ends the group while it lives. */
import { readFileSync, readdirSync } from 'node:fs'

/** A process that is being killed may have started another one. */
const MAX_PASSES = 10

/**
 * Kills every other process of the group that this process leads; nothing where it leads none. For its end: the
 * exit code stays its own, which it would not if the whole group were killed at once.
 */
export function killGroupMembers(): void {
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const members = groupMembers()
    if (members.length === 0) return
    for (const pid of members) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has just ended.
      }
    }
  }
}

function groupMembers(): number[] {
  try {
    return readdirSync('/proc').filter(isPid).map(Number).filter(isMember)
  } catch {
    // A system without /proc.
    return []
  }
}

function isPid(name: string): boolean {
  return /^\d+$/.test(name)
}

/** Zombies do not count: they have ended. */
function isMember(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program, in parentheses, may contain anything.
    const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(group) === process.pid && state !== 'Z' && state !== 'X'
  } catch {
    return false
  }
}
