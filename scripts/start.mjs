/** `npm start`: serves the examples out of a fresh clone. Arguments go to the server. */
import process from 'node:process'
import { ensure } from './ensure.mjs'

const EXAMPLES = ['--model-store', 'examples', '--load', 'digits,iris']

ensure('dist')
// In this process, as `exec` in package.json is there: npm hands signals to its child and waits for it, and
// a shell or a second process in between would end first and leave the server behind.
process.argv.splice(2, 0, 'serve', ...EXAMPLES)
await import('../dist/cli.js')
