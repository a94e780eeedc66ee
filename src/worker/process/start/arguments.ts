/** Parses the command line of an MMS worker. See `docs/worker-protocol.md`. */
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { messageOf } from '../../../errors.ts'
import type { ListenAddress } from './listener.ts'

/**
 * The parsed command line. Model and handler are only used to preload; a load request contains its
 * own.
 */
export interface WorkerArguments {
  readonly address: ListenAddress
  readonly handler: string
  readonly modelPath: string
  readonly modelName: string
  readonly preload: boolean
  /** Folder in which the IO FIFOs are created. */
  readonly temporaryFolder: string
}

/**
 * The command line or an environment variable is invalid. The process ends with exit code 2, as
 * with Python's argparse.
 */
export class UsageError extends Error {}

const DEFAULT_HOST = '127.0.0.1'
/** Node 20 silently cuts a unix socket path at 107 bytes; other systems allow 103. */
const MAX_SOCKET_PATH_BYTES = 103
const TRUE_WORDS = ['yes', 'true', 'y', '1']
const FALSE_WORDS = ['no', 'false', 'n', '0']

/** @throws UsageError when an argument is unknown, missing or malformed. */
export function parseArguments(args: readonly string[]): WorkerArguments {
  const values = readValues(args)
  return {
    address: readAddress(values),
    handler: values.handler ?? '',
    modelPath: values['model-path'] ?? '',
    modelName: values['model-name'] ?? '',
    preload: readPreload(values['preload-model'] ?? 'false'),
    temporaryFolder: values['tmp-dir'] ?? tmpdir(),
  }
}

function readValues(args: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        'sock-type': text,
        'sock-name': text,
        host: text,
        port: text,
        handler: text,
        'model-path': text,
        'model-name': text,
        'preload-model': text,
        'tmp-dir': text,
      },
    }).values
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
}

function readAddress(values: ReturnType<typeof readValues>): ListenAddress {
  const type = values['sock-type']
  if (type === 'unix') return { type, path: readSocketPath(values['sock-name']) }
  if (type === 'tcp')
    return { type, host: values.host ?? DEFAULT_HOST, port: readPort(values.port) }
  throw new UsageError(
    type === undefined
      ? '--sock-type is required'
      : `--sock-type must be unix or tcp, not ${JSON.stringify(type)}`,
  )
}

function readSocketPath(name: string | undefined): string {
  if (!name) throw new UsageError('--sock-name is required with --sock-type unix')
  const bytes = Buffer.byteLength(name)
  if (bytes <= MAX_SOCKET_PATH_BYTES) return name
  throw new UsageError(
    `--sock-name has ${bytes} bytes; the limit for a unix socket path is ${MAX_SOCKET_PATH_BYTES}`,
  )
}

function readPort(text: string | undefined): number {
  if (text === undefined) throw new UsageError('--port is required with --sock-type tcp')
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new UsageError(`--port must be a number from 0 to 65535, not ${JSON.stringify(text)}`)
}

function readPreload(word: string): boolean {
  if (TRUE_WORDS.includes(word.toLowerCase())) return true
  if (FALSE_WORDS.includes(word.toLowerCase())) return false
  throw new UsageError(`--preload-model must be true or false, not ${JSON.stringify(word)}`)
}
