/** `onnxd check --deep`: checks models in worker processes of their own. */
import { ConfigError } from '../../errors.ts'
import { bodyRequest } from '../../models/deep-check/deep-check.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput } from '../program/outcome.ts'
import { readRequest } from '../program/request-data.ts'
import type { DeepResult } from './check-report.ts'

const DEFAULT_SECONDS = 60
const MAX_SECONDS = 3600
const PROGRESS_MS = 500

/** One version after the other, because they would slow one another. */
export async function checkDeeply(
  versions: readonly ModelVersion[],
  input: CommandInput,
): Promise<DeepResult[]> {
  const timeoutMs = deepCheckMs(input)
  const request = await readRequest(input)
  const given = request === undefined ? [] : [bodyRequest(request.type, request.body)]
  const results: DeepResult[] = []
  for (const { name, version, measurements } of versions) {
    const begun = performance.now()
    const timer = setInterval(() => {
      const seconds = Math.floor((performance.now() - begun) / 1000)
      input.progress(`checking ${name} ${version}, ${seconds} of at most ${timeoutMs / 1000} s`)
    }, PROGRESS_MS)
    try {
      const report = await measurements.deepCheck.run(timeoutMs, input.signal, given)
      results.push({ model: name, version, report })
    } finally {
      clearInterval(timer)
    }
  }
  return results
}

/** Whether a deep check found something that makes responses wrong. */
export function hasProblem({ report }: DeepResult): boolean {
  return report.findings.some(({ level }) => level === 'problem')
}

/** @throws ConfigError for a time that cannot be used. */
export function deepCheckMs(input: CommandInput): number {
  const [own] = ['timeout', 'input', 'data', 'type'].filter(
    (name) => input.flags[name] !== undefined,
  )
  if (own !== undefined && input.flags.deep !== true)
    throw new ConfigError(`--${own} is for --deep.`)
  const text = textFlag(input, 'timeout')
  if (text === undefined) return DEFAULT_SECONDS * 1000
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : 0
  if (seconds > 0 && seconds <= MAX_SECONDS) return seconds * 1000
  throw new ConfigError(
    `--timeout must be a number of seconds up to ${MAX_SECONDS}, not ${JSON.stringify(text)}.`,
  )
}
