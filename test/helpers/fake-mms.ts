/** A program that replaces Python and acts like MMS's worker, in a simple form. */
import { chmodSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

/** Code of the program that a test can replace. */
export interface FakeMmsOptions {
  /** Makes the FIFO called `NAME`. */
  readonly makeFifo?: string
  /** Opens the FIFO called `FIFO` for the stream `name` and writes to it. */
  readonly useFifo?: string
}

/**
 * Writes the program into a folder and returns its path, for `--python`. It responds to every
 * request with its arguments, working directory and environment.
 */
export function fakeMms(folder: string, options: FakeMmsOptions = {}): string {
  const file = path.join(folder, 'python')
  writeFileSync(file, `#!${process.execPath}\n${source(options)}`)
  chmodSync(file, 0o755)
  return file
}

/** The source: makes the FIFOs, replies to the load, and waits for readers. */
const source = ({
  makeFifo = "execFileSync('mkfifo', ['-m', '600', NAME])",
  useFifo = String.raw`fs.writeSync(fs.openSync(FIFO, 'w'), name.slice(3) + ' of the FIFO\n')`,
}: FakeMmsOptions): string => String.raw`
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const args = process.argv.slice(2)
if (args[0] === '-c') {
  console.log(JSON.stringify(['3.12.1', '/mms', '']))
  process.exit(0)
}
const after = (name) => args[args.indexOf(name) + 1]
const text = (value) => {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const int = (value) => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(value); return bytes }
net.createServer((socket) => {
  socket.on('data', (chunk) => {
    if (chunk[0] === 0x4c) {
      const descriptor = chunk.subarray(-'w.sock'.length).toString()
      const stem = after('--tmp-dir') + '/' + descriptor
      for (const stream of ['stdout', 'stderr']) {
        const NAME = stem + '-' + stream
        ${makeFifo}
      }
      socket.write(Buffer.concat([int(200), text('loaded model m. [PID]:' + process.pid), int(-1)]))
      // These wait, as Python's do.
      for (const name of ['stdout', 'stderr']) {
        const FIFO = stem + '-' + name
        ${useFifo}
      }
    } else {
      const id = chunk.subarray(5, 5 + chunk.readInt32BE(1)).toString()
      const { PYTHONPATH, OMP_NUM_THREADS, MMS_DECODE_INPUT_REQUEST } = process.env
      const environment = { PYTHONPATH, OMP_NUM_THREADS, MMS_DECODE_INPUT_REQUEST }
      const body = JSON.stringify({ args, cwd: process.cwd(), environment })
      socket.write(Buffer.concat([int(200), text('ok'), text(id), text('application/json'), int(200), text(''), int(0), text(body), int(-1)]))
    }
  })
}).listen(after('--sock-name'), () => console.log('MMS worker started.'))
`
