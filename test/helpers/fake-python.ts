/**
 * A worker behind a whole server whose every byte the test controls. It replaces a Python
 * interpreter with TorchServe's worker. The body of a request is JavaScript code that the worker
 * runs.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { pythonArchive } from './python-model.ts'
import { temporaryFolder } from './server.ts'
import type { Cleanup } from './server.ts'

const EXTENSION = path.extname(fileURLToPath(import.meta.url))
const wire = (name: string): string =>
  JSON.stringify(new URL(`../../src/worker/wire/${name}${EXTENSION}`, import.meta.url).href)

/**
 * The code of a request can use `socket`, `requests` (those of its frame), and the helpers below.
 * `service.py` of the model is JavaScript too, and may replace `onConnect`, `onLoad` and
 * `onDescribe`.
 */
const WORKER = `
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { RequestDecoder } from ${wire('decode')}
import { encodeReply } from ${wire('encode')}
if (process.argv[2] === '-c') {
  console.log(JSON.stringify(['3.12.1', '', process.cwd()]))
  process.exit(0)
}
const int = (value) => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(value | 0); return bytes }
const str = (value) => { const bytes = Buffer.from(value); return Buffer.concat([int(bytes.length), bytes]) }
const bytes = (...fields) => Buffer.concat(fields.map((field) =>
  typeof field === 'number' ? int(field) : typeof field === 'string' ? str(field) : field))
const frame = (reply) => Buffer.concat(encodeReply({ code: 200, message: '', predictions: [], ...reply }))
const answer = (id, text) =>
  ({ id, contentType: 'text/plain', status: 200, reason: '', headers: [], body: Buffer.from(text) })
const answers = (...predictions) => frame({ predictions })
/** What this worker was asked before, the oldest first. */
const earlier = []
let onConnect = () => {}
let onLoad = (socket) => socket.write(frame({ message: 'loaded' }))
/** The server asks once what the model is. */
let onDescribe = (socket, requests) => socket.write(answers(answer(requests[0].id, 'null')))
const after = (name) => process.argv[process.argv.indexOf(name) + 1]
eval(readFileSync('service.py', 'utf8'))
createServer((socket) => {
  const decoder = new RequestDecoder({ dialect: 'torchserve' })
  socket.on('error', () => {})
  onConnect(socket)
  socket.on('data', (chunk) => {
    for (const message of decoder.push(chunk)) {
      if (message.command === 'load') { onLoad(socket); continue }
      const { requests } = message
      if (requests.every(({ parameters }) => parameters.length === 0)) {
        onDescribe(socket, requests)
        continue
      }
      const codes = requests.map(({ parameters }) => String(parameters[0]?.value))
      // Of a batch, the first request that is not empty decides.
      eval(codes.find((code) => code !== '') ?? '')
      earlier.push(requests)
    }
  })
}).listen(after('--sock-name'), () => console.log('Torch worker started.'))
`

/** Path of the interpreter for the setting `python` of a server. */
export function fakePython(t: Cleanup): string {
  const folder = temporaryFolder(t)
  mkdirSync(folder, { recursive: true })
  const worker = path.join(folder, 'worker.mjs')
  writeFileSync(worker, WORKER)
  writeFileSync(path.join(folder, 'model_service_worker.py'), '')
  const program = path.join(folder, 'python')
  const start = `if [ "$1" = -m ]; then shift; shift; fi\nexec '${process.execPath}' '${worker}' "$@"\n`
  writeFileSync(program, `#!/bin/sh\n${start}`)
  chmodSync(program, 0o755)
  return program
}

/** Writes an archive of a model that the fake worker serves into a folder. */
export function fakePythonModel(
  folder: string,
  name: string,
  service = '',
  files: Readonly<Record<string, string>> = {},
): string {
  return pythonArchive(folder, { flavor: 'torchserve', name, service, files })
}
