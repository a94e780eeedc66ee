/**
 * `metrics.yaml` of TorchServe: the metrics that its Python worker knows before a handler uses
 * them. The worker reads only `model_metrics`.
 */
import { readFileSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileProblem, messageOf } from '../../../errors.ts'

export const METRICS_FILE = 'metrics.yaml'

const MAX_BYTES = 1024 * 1024
const SECTION = 'model_metrics'
const SECTION_LINE = /^(["']?)model_metrics\1\s*:/m
const TYPES: readonly string[] = ['counter', 'gauge', 'histogram']

/** Whether a file is a `metrics.yaml` of TorchServe, and not another file of that name. */
export function declaresMetrics(file: string): boolean {
  try {
    const stats = statSync(file)
    return (
      stats.isFile() && stats.size <= MAX_BYTES && SECTION_LINE.test(readFileSync(file, 'utf8'))
    )
  } catch {
    return false
  }
}

/**
 * Checks a file that the operator names. TorchServe's worker would end with each model otherwise.
 * @throws Error that names the file and the problem.
 */
export async function checkMetricsFile(file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`metricsConfig: cannot read ${file}: ${fileProblem(cause)}.`, { cause })
  })
  const { parse } = await import('yaml')
  let content: unknown
  try {
    content = parse(text)
  } catch (cause) {
    const [problem = ''] = messageOf(cause).split('\n', 1)
    throw new Error(`metricsConfig: ${file} is not valid YAML: ${problem.replace(/:$/, '')}.`, {
      cause,
    })
  }
  const problem = problemWith(content)
  if (problem !== undefined) throw new Error(`metricsConfig: ${file}: ${problem}.`)
}

function problemWith(content: unknown): string | undefined {
  const section = memberOf(content, SECTION)
  if (typeof section !== 'object' || section === null || Object.keys(section).length === 0)
    return `it has no ${SECTION}`
  for (const [type, metrics] of Object.entries(section)) {
    if (!TYPES.includes(type))
      return `${SECTION} has the type ${JSON.stringify(type)}; the types are ${TYPES.join(', ')}`
    if (!Array.isArray(metrics)) return `${SECTION}.${type} is not a list`
    for (const [index, metric] of metrics.entries()) {
      const place = `${SECTION}.${type}[${index}]`
      for (const key of ['name', 'unit'])
        if (typeof memberOf(metric, key) !== 'string') return `${place} has no ${key}`
      if (!Array.isArray(memberOf(metric, 'dimensions')))
        return `${place} has no list of dimensions`
    }
  }
  return undefined
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined
}
