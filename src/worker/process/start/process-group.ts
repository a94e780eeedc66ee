/**
 * Finds and kills the processes that a worker has started, in the process group that it leads. The
 * front-end, if it lives, kills the group itself.
 */
import { readFileSync, readdirSync } from 'node:fs'

/**
 * Maximum number of passes. More than one is needed because a process may start another one before
 * it is killed.
 */
const MAX_PASSES = 10

/**
 * Kills every other process of the group that this process leads. If it leads no group, it kills
 * nothing. It is used when this process ends: killing the whole group at once would change its exit
 * code.
 */
export function killGroupMembers(): void {
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const members = groupMembers()
    if (members.length === 0) return
    for (const pid of members) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // The process has just ended.
      }
    }
  }
}

function groupMembers(): number[] {
  try {
    return readdirSync('/proc').filter(isPid).map(Number).filter(isMember)
  } catch {
    // The system has no /proc.
    return []
  }
}

function isPid(name: string): boolean {
  return /^\d+$/.test(name)
}

/** Zombies do not count, because they have ended. */
function isMember(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The program name, in parentheses, may contain any character.
    const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(group) === process.pid && state !== 'Z' && state !== 'X'
  } catch {
    return false
  }
}
