/** The examples in TypeScript, as the compiler of their author sees them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../helpers/server.ts'

const HANDLERS = [
  'faces',
  'flowers',
  'ocr/ocr',
  'ocr/ocr-detector',
  'ocr/ocr-reader',
  'pumps',
  'tickets',
]

test('the compiler finds no error in the examples', (t) => {
  const folder = temporaryFolder(t)
  cpSync('examples/handlers', folder, { recursive: true })
  mkdirSync(path.join(folder, 'node_modules'))
  for (const [name, target] of [
    ['onnxd', '.'],
    ['@types', 'node_modules/@types'],
    ['sharp', 'node_modules/sharp'],
  ] as const) {
    symlinkSync(path.resolve(target), path.join(folder, 'node_modules', name), 'junction')
  }
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }')
  const compilerOptions = {
    strict: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    noUnusedLocals: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
  }
  const files = HANDLERS.map((name) => `${name}/service.ts`)
  writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  const compiler = path.resolve('node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  })
  assert.equal(status, 0, stdout)
})
