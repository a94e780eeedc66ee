/** `onnxd load`: registers a model by upload, by URL or by its name in the model store. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { ConfigError } from '../../errors.ts'
import { memberOf } from '../json.ts'
import { textFlag, textFlags } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { durationText, sizeText } from '../terminal/units.ts'
import { listAll } from './model-list.ts'
import { ServerClient } from './server-client.ts'
import type { RequestBody } from './server-client.ts'

const BOUNDARY = 'onnxd-upload-7c1f0e4b9a2d'
const BAR_WIDTH = 24
/** Interval between two looks at the progress of the server. */
const LOOK_MS = 500

/** Registers a model and waits until it is served. */
export async function loadModel(input: CommandInput): Promise<Outcome> {
  const [source = ''] = input.args
  const client = new ServerClient(input)
  const parameters = parametersOf(input)
  const startedAt = performance.now()
  const found = await stat(source).catch(() => undefined)
  let data: unknown
  if (found?.isFile() === true) {
    const body = uploadBody(source, found.size, (sent) => {
      const time = durationText(performance.now() - startedAt)
      const shown = `${bar(sent / found.size, BAR_WIDTH)} ${sizeText(sent)} of ${sizeText(found.size)}`
      const line = sent < found.size ? shown : `${path.basename(source)}: loading`
      input.progress(`${line}, ${time}`)
    })
    const ended = watchClock(input, `${path.basename(source)}: loading`, found.size)
    try {
      data = await client.call('POST', `/models?${parameters.toString()}`, {
        ...body,
        stream: body.stream.once('end', () => ended.start()),
      })
    } finally {
      ended.stop()
    }
  } else {
    parameters.set('url', found?.isDirectory() === true ? path.resolve(source) : source)
    const watch = watchServer(input, client)
    try {
      data = await client.call('POST', `/models?${parameters.toString()}`)
    } finally {
      watch.stop()
    }
  }
  const notes = memberOf(data, 'notes')
  const lines = Array.isArray(notes) ? notes.map((note) => `${String(note)}\n`).join('') : ''
  const seconds = durationText(performance.now() - startedAt)
  return { data, text: `${path.basename(source)} is served after ${seconds}.\n${lines}` }
}

function parametersOf(input: CommandInput): URLSearchParams {
  const parameters = new URLSearchParams()
  const named = { model_name: 'name', model_version: 'model-version', initial_workers: 'workers' }
  for (const [parameter, flag] of Object.entries(named)) {
    const value = textFlag(input, flag)
    if (value !== undefined) parameters.set(parameter, value)
  }
  for (const pair of textFlags(input, 'set')) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(pair) ?? []
    if (name === undefined || value === undefined)
      throw new ConfigError(`--set must be PARAMETER=VALUE, not ${JSON.stringify(pair)}.`)
    parameters.set(name, value)
  }
  parameters.set('synchronous', 'true')
  return parameters
}

/** A form with one file, and a function that learns how many bytes of it were sent. */
function uploadBody(file: string, bytes: number, onSent: (bytes: number) => void): RequestBody {
  const name = path.basename(file).replaceAll(/["\r\n]/g, '_')
  const head = Buffer.from(
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="model"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  )
  const tail = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  async function* parts(): AsyncGenerator<Buffer> {
    yield head
    let sent = 0
    // The announced length must be right, even if the file grows meanwhile.
    if (bytes > 0) {
      for await (const chunk of createReadStream(file, { end: bytes - 1 })) {
        const part: unknown = chunk
        if (!Buffer.isBuffer(part)) continue
        yield part
        sent += part.length
        onSent(sent)
      }
    }
    yield tail
  }
  return {
    headers: {
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': head.length + bytes + tail.length,
    },
    stream: Readable.from(parts(), { objectMode: false }),
  }
}

/** Shows the seconds after the upload, while the server loads the model. */
function watchClock(
  { progress }: CommandInput,
  label: string,
  bytes: number,
): { start: () => void; stop: () => void } {
  let timer: NodeJS.Timeout | undefined
  return {
    start: () => {
      const startedAt = performance.now()
      timer ??= setInterval(() => {
        progress(`${label}, ${sizeText(bytes)}, ${durationText(performance.now() - startedAt)}`)
      }, LOOK_MS)
    },
    stop: () => clearInterval(timer),
  }
}

/** Shows what the server downloads and loads. */
function watchServer({ progress }: CommandInput, client: ServerClient): { stop: () => void } {
  let isLooking = false
  const look = async (): Promise<void> => {
    const { transfers, loading } = await listAll(client)
    const [transfer] = transfers
    const bytes = Number(memberOf(transfer, 'bytes'))
    const total = Number(memberOf(transfer, 'totalBytes'))
    if (total > 0) {
      progress(`${bar(bytes / total, BAR_WIDTH)} ${sizeText(bytes)} of ${sizeText(total)}`)
    } else if (loading.length > 0) {
      const seconds = Number(memberOf(loading.at(-1), 'seconds'))
      const name = String(memberOf(loading.at(-1), 'modelName'))
      progress(`${name}: loading, ${durationText(seconds * 1000)}`)
    }
  }
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    look()
      .catch(() => {})
      .finally(() => (isLooking = false))
  }, LOOK_MS)
  return { stop: () => clearInterval(timer) }
}
