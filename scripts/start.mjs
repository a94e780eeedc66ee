/**
 * `npm start`: serves the example models from a fresh clone. Arguments are passed to the server.
 */
import process from 'node:process'
import { ensure } from './ensure.mjs'

const EXAMPLES = ['--model-store', 'examples', '--load', 'digits,iris']

ensure('dist')
// The server runs in this process, and package.json starts this script with `exec`: npm sends
// signals to its child process and waits for it. A shell or a second process in between would exit
// first and leave the server running.
process.argv.splice(2, 0, 'serve', ...EXAMPLES)
await import('../dist/cli.js')
