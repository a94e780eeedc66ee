/** Runs a program now and again after each change of a source, one run at a time, until Ctrl-C. */
import { spawn } from 'node:child_process'
import { watch } from 'node:fs'
import process from 'node:process'

/** Editors write a file in several steps, and branches change many files. */
const SETTLE_MS = 100
const SOURCE = /\.(ts|mjs|json)$/

/**
 * @param folders To watch, with all below them.
 * @param args For Node: the program and its arguments.
 */
export function runOnChanges(folders, args) {
  let child
  let timer
  let hasChanged = false

  const run = () => {
    if (child !== undefined) {
      hasChanged = true
      return
    }
    hasChanged = false
    child = spawn(process.execPath, args, { stdio: 'inherit' })
    child.on('exit', () => {
      child = undefined
      if (hasChanged) run()
      else console.error(`onnxd: waiting for a change in ${folders.join(' or ')}; Ctrl-C ends.`)
    })
  }

  const watchers = folders.map((folder) =>
    watch(folder, { recursive: true }, (_event, file) => {
      if (!SOURCE.test(file ?? '')) return
      clearTimeout(timer)
      timer = setTimeout(run, SETTLE_MS)
    }),
  )
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      clearTimeout(timer)
      for (const watcher of watchers) watcher.close()
      if (child === undefined) process.exit(0)
      child.removeAllListeners('exit').on('exit', () => process.exit(0))
      child.kill(signal)
    })
  }
  run()
}
