/** `onnxd doctor`: whether this machine is fit for a server, and what to change. */
import { parseConfig } from '../../../config/parse.ts'
import { readPackageVersion } from '../../../package-files.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import { fieldsText, wrap } from '../../terminal/table.ts'
import { paint } from '../../terminal/terminal.ts'
import type { Terminal } from '../../terminal/terminal.ts'
import type { Examined } from './examined.ts'
import { checkLimits, checkMachine } from './machine.ts'
import { checkFolders, checkPorts } from './places.ts'
import { checkRuntime } from './runtime.ts'

/** @throws ConfigError if a setting is not valid. */
export async function examineMachine(input: CommandInput): Promise<Outcome> {
  const { config, ignored } = parseConfig(input.rest, input.environment)
  input.progress('starting onnxruntime')
  const examined: Examined[] = [
    { name: 'onnxd', state: 'ok', text: await readPackageVersion() },
    ...(await checkRuntime(config, input.signal)),
    ...(await checkMachine(config)),
    ...(await checkLimits(config)),
    ...(await checkPorts(config)),
    ...(await checkFolders(config, input.environment)),
    ...ignored.map((text): Examined => ({ name: 'variable', state: 'warning', text })),
  ]
  const problems = examined.filter(({ state }) => state === 'problem').length
  return {
    data: { ok: problems === 0, checks: examined },
    text: examinedText(examined, input.terminal),
    code: problems === 0 ? 0 : 1,
  }
}

function examinedText(examined: readonly Examined[], terminal: Terminal): string {
  const marks = {
    ok: paint(terminal, 'green', '✓'),
    warning: paint(terminal, 'yellow', '!'),
    problem: paint(terminal, 'red', '✗'),
  }
  const width = Math.max(...examined.map(({ name }) => name.length))
  const indent = ' '.repeat(width + 4)
  const columns = Math.min(terminal.columns, 100) - indent.length
  const lines = examined.map(({ name, state, text, remedy }) => {
    const parts = wrap(text, columns)
    if (remedy !== undefined) parts.push(...wrap(`Remedy: ${remedy}`, columns))
    return `${marks[state]} ${paint(terminal, 'bold', name.padEnd(width))}  ${parts.join(`\n${indent}`)}\n`
  })
  const count = (state: Examined['state']): number =>
    examined.filter((one) => one.state === state).length
  const fields: [string, string][] = [
    ['problems', String(count('problem'))],
    ['warnings', String(count('warning'))],
  ]
  return `${lines.join('')}\n${fieldsText(fields, terminal)}`
}
