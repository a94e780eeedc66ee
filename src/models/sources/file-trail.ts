/**
 * The path to a file: every link, folder and file on it. A link may point elsewhere just while a
 * worker opens a file, so the trail before a load is compared with the one after it.
 */
import { lstat, readlink } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'

/** The limit of Linux. */
const MAX_LINKS = 40

interface Step {
  readonly location: string
  /** Device and inode number. */
  readonly inode: string
  /**
   * Time of the last change of the entry, which includes moving it to another folder. No program
   * can set this time.
   */
  readonly changedAt: bigint
  /** The same time of the folder that contains the entry. */
  readonly folderChangedAt: bigint
}

/** The steps to one file. */
export type FileTrail = readonly Step[]

/**
 * Follows a path as the operating system does.
 * @param root Real path that must contain the file. Steps to the root itself are left out.
 * @throws ServerError `InvalidModelException` if the file is outside; Error of the file system.
 */
export async function followTrail(file: string, root: string): Promise<FileTrail> {
  const steps: Step[] = []
  const names = namesOf(file)
  let current = '/'
  let links = 0
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === '..') {
      current = path.dirname(current)
      continue
    }
    const location = path.join(current, name)
    const options = { bigint: true } as const
    const [folder, entry] = await Promise.all([lstat(current, options), lstat(location, options)])
    if (!isInside(root, location)) {
      const inode = `${entry.dev} ${entry.ino}`
      steps.push({ location, inode, changedAt: entry.ctimeNs, folderChangedAt: folder.ctimeNs })
    }
    if (entry.isSymbolicLink()) {
      links += 1
      if (links > MAX_LINKS) throw invalid(`${shown(file)} is a broken symbolic link.`)
      const target = await readlink(location)
      if (path.isAbsolute(target)) current = '/'
      names.unshift(...namesOf(target))
    } else current = location
  }
  if (!isInside(current, root) || current === root) {
    throw invalid(`${shown(file)} points outside the model store.`)
  }
  return steps
}

/**
 * Whether a trail was the same all the time between two checks. Replacing and restoring an entry
 * changes the entry and its folder. Adding a file to a folder changes only the folder.
 */
export function isSameTrail(before: FileTrail, after: FileTrail): boolean {
  return (
    before.length === after.length &&
    before.every((step, index) => {
      const now = after[index]
      if (now === undefined || now.location !== step.location || now.inode !== step.inode)
        return false
      return now.changedAt === step.changedAt || now.folderChangedAt === step.folderChangedAt
    })
  )
}

/** Whether `location` is `folder` or below it. */
function isInside(location: string, folder: string): boolean {
  return location === folder || location.startsWith(folder === '/' ? '/' : `${folder}/`)
}

function namesOf(location: string): string[] {
  return location.split('/').filter((name) => name !== '' && name !== '.')
}

function shown(file: string): string {
  return JSON.stringify(path.basename(file))
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
