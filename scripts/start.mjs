/** `npm start`: serves the examples out of a fresh clone. Arguments go to the server. */
import process from 'node:process'
import { ensure } from './ensure.mjs'

const EXAMPLES = ['--model-store', 'examples', '--load', 'digits,iris']
/** What comes within this time of its like is the same Ctrl-C. */
const REPEAT_MS = 500

ensure('dist')
dropRepeatedSignals()
// In this process, as `exec` in package.json is there: npm hands signals to its child and waits for it, and
// a shell or a second process in between would end first and leave the server behind.
process.argv.splice(2, 0, 'serve', ...EXAMPLES)
await import('../dist/cli.js')

/**
 * A Ctrl-C comes twice, from the terminal and from npm, which hands it on. The second would end the server
 * at once, with all requests it has accepted.
 */
function dropRepeatedSignals() {
  const { emit } = process
  const lastAt = new Map()
  process.emit = (event, ...args) => {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now()
      const isRepeat = now - (lastAt.get(event) ?? -Infinity) < REPEAT_MS
      lastAt.set(event, now)
      if (isRepeat) return true
    }
    return emit.call(process, event, ...args)
  }
  // While a signal has no listener it kills. The server's own are replaced when the first one comes.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
}
