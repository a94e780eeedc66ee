import assert from 'node:assert/strict'
import test from 'node:test'
import { readArguments } from '../../../src/command/program/arguments.ts'
import type { CommandSpec } from '../../../src/command/program/command-spec.ts'
import { COMMANDS } from '../../../src/command/program/commands.ts'
import { commandHelp, mainHelp } from '../../../src/command/program/help.ts'

function spec(name: string): CommandSpec {
  const found = COMMANDS[name]
  assert.ok(found !== undefined, name)
  return found
}

test('flags, short flags and settings after -- are read', () => {
  const { args, flags, rest } = readArguments('run', spec('run'), [
    'model.onnx',
    '-i',
    'x.json',
    '--json',
    '--',
    '--allow-handlers',
  ])
  assert.deepEqual(args, ['model.onnx'])
  assert.deepEqual({ ...flags }, { input: 'x.json', json: true })
  assert.deepEqual(rest, ['--allow-handlers'])
  const load = readArguments('load', spec('load'), ['m', '--set', 'a=1', '--set', 'b=2'])
  assert.deepEqual(load.flags['set'], ['a=1', 'b=2'])
})

test('a wrong flag and a wrong number of arguments are named', () => {
  for (const [name, argv, problem] of [
    ['check', ['m', '--no-lod'], /Unknown flag --no-lod\. Did you mean --no-load\?.* after --\./],
    ['ps', ['--jsn'], /Unknown flag --jsn\. Did you mean --json\? Run "onnxd help ps"/],
    ['ps', ['iris'], /Unexpected argument iris\. Usage: onnxd ps/],
    ['scale', ['iris'], /An argument is missing\. Usage: onnxd scale MODEL N/],
    ['bench', ['iris', '-c'], /^--clients needs a value\. Run/],
  ] as const) {
    assert.throws(() => readArguments(name, spec(name), argv), { message: problem })
  }
})

test('every page of the help fits into 80 columns', () => {
  const pages = [mainHelp(80), ...Object.values(COMMANDS).map((one) => commandHelp(one, 80))]
  for (const line of pages.flatMap((page) => page.split('\n'))) {
    // Examples are commands, which must not be broken.
    if (!line.startsWith('  onnxd ')) assert.ok(line.length <= 80, line)
  }
})

test('the code of every command can be imported', async () => {
  for (const [name, { load }] of Object.entries(COMMANDS)) {
    assert.equal(typeof (await load()), 'function', name)
  }
})
