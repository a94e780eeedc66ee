/** Runs the command with its own small disk, which other processes do not see. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** For `test(name, { skip: needsMount }, …)`. */
export const needsMount =
  spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
    ? false
    : 'needs the right to mount, and unshare (util-linux)'

/**
 * Command line prefix to start a program in a mount namespace in which `folder` is a new disk.
 * @param options Options of `mount`, for example `size=1m,nr_inodes=64`.
 * @param source Folder whose files are copied to the disk before the start.
 */
export function onDisk(folder: string, options: string, source = '/dev/null'): string[] {
  const script =
    'mount -t tmpfs -o "$1" tmpfs "$0" && { [ "$2" = /dev/null ] || cp -a "$2"/. "$0"; } && shift 2 && exec "$@"'
  return ['unshare', '--mount', '--', 'sh', '-c', script, folder, options, source]
}

/** Path of a folder in the mount namespace of a process. */
export const seenBy = (pid: number, folder: string): string => `/proc/${pid}/root${folder}`

/** Remounts the disk of a process, read-only or read-write. */
export function remount(pid: number, folder: string, mode: 'ro' | 'rw'): void {
  const args = ['--mount', '--target', String(pid), 'mount', '-o', `remount,${mode}`, folder]
  assert.equal(spawnSync('nsenter', args).status, 0)
}

/** Fills a disk completely. The returned function frees the space. */
export function fillBytes(folder: string): () => void {
  const file = path.join(folder, 'filling')
  assert.throws(() => writeFileSync(file, Buffer.alloc(64 << 20)), { code: 'ENOSPC' })
  return () => rmSync(file)
}

/** Makes files until the disk has no free inode. The returned function removes them. */
export function fillInodes(folder: string): () => void {
  const made = path.join(folder, 'filling')
  mkdirSync(made)
  assert.throws(
    () => {
      for (let number = 0; ; number += 1) writeFileSync(path.join(made, String(number)), '')
    },
    { code: 'ENOSPC' },
  )
  return () => rmSync(made, { recursive: true })
}
