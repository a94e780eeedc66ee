/** Explains a `config.properties`, a `config.pbtxt` or a settings file, key by key. */
import { readFile } from 'node:fs/promises'
import { readProperties } from '../../config/import/properties.ts'
import { parseConfig } from '../../config/parse.ts'
import { messageOf } from '../../errors.ts'
import type { ConfigKey } from '../../models/sources/config-pbtxt/config-report.ts'
import { reportOfFile } from '../../models/sources/config-pbtxt/file-report.ts'
import {
  checkBackend,
  parseModelConfig,
  settingsOf,
} from '../../models/sources/config-pbtxt/model-config.ts'
import type { TextMessage } from '../../models/sources/config-pbtxt/protobuf-text.ts'
import type { Checked, Finding } from './check-report.ts'
import { remedyFor } from './remedies.ts'

/** The kind of a configuration by the name of its file; `undefined` for any other file. */
export function configKind(file: string): 'properties' | 'pbtxt' | 'settings' | undefined {
  const name = file.toLowerCase()
  if (name.endsWith('.properties')) return 'properties'
  if (name.endsWith('.pbtxt')) return 'pbtxt'
  return /\.ya?ml$/.test(name) ? 'settings' : undefined
}

/** Checks one configuration. */
export async function checkConfig(file: string, environment: NodeJS.ProcessEnv): Promise<Checked> {
  const kind = configKind(file) ?? 'settings'
  try {
    if (kind === 'properties') return await checkProperties(file, environment)
    if (kind === 'pbtxt') return await checkPbtxt(file)
    const { origins } = parseConfig(['--config', file], {})
    const keys = Object.keys(origins)
    const text = `a file with settings of onnxd: ${keys.join(', ') || 'it sets nothing'}`
    return { subject: file, kind, ok: true, text, findings: [] }
  } catch (error) {
    const text = messageOf(error)
    const remedy = remedyFor(text)
    return {
      subject: file,
      kind,
      ok: false,
      text,
      findings: [],
      ...(remedy !== undefined && { remedy }),
    }
  }
}

/** Adds the lines of a `config.pbtxt` to its report. */
export function withLines(
  report: readonly ConfigKey[],
  message: TextMessage,
  text: string,
): Finding[] {
  return report.map(({ key, outcome, text: result }) => {
    const offset = offsetOf(message, key.split('.'))
    const line = offset === undefined ? {} : { line: text.slice(0, offset).split('\n').length }
    return { ...line, key, outcome, text: result }
  })
}

async function checkProperties(file: string, environment: NodeJS.ProcessEnv): Promise<Checked> {
  const { origin, applied, ignored } = readProperties(file, environment)
  const lines = (await readFile(file, 'latin1')).split(/\r\n|[\r\n]/)
  const lineOf = (key: string): { line?: number } => {
    // The last line of a repeated key wins.
    const index = lines.findLastIndex((line) => {
      const start = line.trimStart()
      return start.startsWith(key) && /^(?:[\s=:]|$)/.test(start.slice(key.length))
    })
    return index === -1 ? {} : { line: index + 1 }
  }
  const findings: Finding[] = [
    ...applied.map(({ key, setting, value, note }): Finding => {
      const text = `${setting} = ${String(value)}${note === undefined ? '' : ` (${note})`}`
      return { ...lineOf(key), key, outcome: note === undefined ? 'read' : 'changed', text }
    }),
    ...ignored.map(({ key, reason }): Finding => ({
      ...lineOf(key),
      key,
      outcome: 'ignored',
      text: reason,
    })),
  ].toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity))
  const server = origin === 'mms' ? 'MMS' : 'TorchServe'
  const text = `a configuration of ${server}; serve with onnxd serve --config ${file}`
  return { subject: file, kind: 'properties', ok: true, text, findings }
}

async function checkPbtxt(file: string): Promise<Checked> {
  const text = await readFile(file, 'utf8')
  const config = parseModelConfig(text)
  const settings = settingsOf(config)
  const report = reportOfFile(config, settings, {}, false)
  const findings = withLines(report, config.message, text)
  const checked = { subject: file, kind: 'pbtxt', findings }
  try {
    checkBackend(config)
  } catch (error) {
    const remedy = 'onnxd serves ONNX models. Export the model to ONNX, see docs/export.md.'
    return { ...checked, ok: false, text: messageOf(error), remedy }
  }
  return { ...checked, ok: true, text: 'a model configuration of Triton' }
}

function offsetOf(message: TextMessage, names: readonly string[]): number | undefined {
  const [name, ...rest] = names
  if (name === undefined) return message.offset
  for (const value of message.fields.get(name) ?? []) {
    if (rest.length === 0) return value.offset
    const offset = value.kind === 'message' ? offsetOf(value, rest) : undefined
    if (offset !== undefined) return offset
  }
  return undefined
}
