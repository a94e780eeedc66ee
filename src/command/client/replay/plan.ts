/** Reads the arguments of `onnxd replay`. */
import { existsSync } from 'node:fs'
import { ConfigError } from '../../../errors.ts'
import { textFlag } from '../../program/outcome.ts'
import type { CommandInput } from '../../program/outcome.ts'
import type { Target } from '../recorded/rewrite.ts'

/** A path, or the name of a model file. */
const PATH = /(?:\.(?:onnx|mar|model|zip|tar\.gz|tgz)$)|[/]/i
const DEFAULT_CONNECTIONS = 4
const MAX_CONNECTIONS = 1000
const DEFAULT_LIMIT = 1_000_000

/** When requests are sent. */
export type ReplayRate =
  /** Each connection sends its next request after a response. */
  | { readonly kind: 'max' }
  /** With the pauses of the recording. */
  | { readonly kind: 'original' }
  | { readonly kind: 'rate'; readonly perSecond: number }

export interface ReplayPlan {
  readonly file: string
  /** A model of a running server, or the path of one that the command loads itself. */
  readonly against: { readonly target: Target } | { readonly path: string }
  /** Name of the recorded model, if it is given. */
  readonly model: string | undefined
  readonly rate: ReplayRate
  readonly connections: number
  readonly limit: number
  /** How much floats may differ; absent: the usual tolerance of their datatype. */
  readonly tolerance: number | undefined
}

/** @throws ConfigError for arguments that cannot be used. */
export function planOf(input: CommandInput): ReplayPlan {
  const [file = ''] = input.args
  const text = textFlag(input, 'against')
  if (text === undefined || text === '') {
    throw new ConfigError(
      'Name what gets the requests: --against MODEL, --against MODEL@VERSION, or --against with the path of a model.',
    )
  }
  const against = targetOf(text)
  if ('path' in against && textFlag(input, 'url') !== undefined) {
    throw new ConfigError(`--url names a running server, but ${text} is a model file.`)
  }
  if ('target' in against && input.rest.length > 0) {
    throw new ConfigError('Settings after -- are for the model of a path.')
  }
  return {
    file,
    against,
    model: textFlag(input, 'model'),
    rate: rateOf(textFlag(input, 'rate') ?? 'max'),
    connections: wholeNumber(input, 'connections', MAX_CONNECTIONS) ?? DEFAULT_CONNECTIONS,
    limit: wholeNumber(input, 'limit', DEFAULT_LIMIT) ?? DEFAULT_LIMIT,
    tolerance: toleranceOf(textFlag(input, 'tolerance')),
  }
}

/** `model`, `model@version`, `model:version`, or a path. */
function targetOf(text: string): ReplayPlan['against'] {
  if (PATH.test(text) || existsSync(text)) return { path: text }
  const [, name = '', version] = /^([^@:]*)(?:[@:](.*))?$/.exec(text) ?? []
  if (name !== '' && version !== '') return { target: { name, version } }
  throw new ConfigError(`${JSON.stringify(text)} is not a model, such as iris or iris@2.`)
}

function rateOf(text: string): ReplayRate {
  if (text === 'max' || text === 'original') return { kind: text }
  const perSecond = numberIn(text)
  if (perSecond >= 0.001 && perSecond <= 1_000_000) return { kind: 'rate', perSecond }
  throw new ConfigError(
    `--rate must be original, max or a number of requests per second, not ${JSON.stringify(text)}.`,
  )
}

function toleranceOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d*\.?\d+(?:e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= 1) return value
  throw new ConfigError(`--tolerance must be a number from 0 to 1, not ${JSON.stringify(text)}.`)
}

function wholeNumber(input: CommandInput, name: string, most: number): number | undefined {
  const text = textFlag(input, name)
  if (text === undefined) return undefined
  const value = /^\d{1,7}$/.test(text) ? Number(text) : 0
  if (value >= 1 && value <= most) return value
  throw new ConfigError(
    `--${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(text)}.`,
  )
}

function numberIn(text: string): number {
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
}
