/** Lets workers of another user read files of the server. */
import { chmod, chown, lstat, readdir } from 'node:fs/promises'
import path from 'node:path'

/** The mode bit that lets a group pass through a folder. */
export const PASS = 0o010
const READ = 0o040

/** Lets a group pass through a folder without listing it. */
export async function letPass(folder: string, gid: number): Promise<void> {
  await open(folder, gid, PASS)
}

/**
 * Lets a group read `file`, a file or folder below one of the private folders `roots`. The group
 * can then read the whole top-level entry of the innermost root that contains `file`, because a
 * model may have files beside it. If `file` lies outside `roots`, nothing changes.
 * @param roots The outer before the inner ones.
 */
export async function letRead(file: string, roots: readonly string[], gid: number): Promise<void> {
  const around = roots.filter((root) => file.startsWith(root + path.sep))
  const root = around.at(-1)
  const [first] = path.relative(root ?? file, file).split(path.sep)
  if (root === undefined || first === undefined) return
  for (const each of around) await letPass(each, gid)
  await openTree(path.join(root, first), gid)
}

async function openTree(place: string, gid: number): Promise<void> {
  const found = await lstat(place)
  if (found.isSymbolicLink()) return
  await open(place, gid, found.isDirectory() ? READ | PASS : READ)
  if (!found.isDirectory()) return
  for (const name of await readdir(place)) await openTree(path.join(place, name), gid)
}

async function open(place: string, gid: number, bits: number): Promise<void> {
  const { uid, mode } = await lstat(place)
  await chown(place, uid, gid)
  await chmod(place, (mode & 0o777) | bits)
}
