/** How a client of openapi-generator is made into a program, by language. */
import { execFile, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { GENERATORS_TSC, installGenerators } from '../../helpers/client-generators.ts'
import type { Call } from './calls.ts'
import { goOperations } from './go-operations.ts'

const run = promisify(execFile)
const PROGRAMS = path.resolve('test/interop/generated')
const python = path.join(process.env['ONNXD_INTEROP_GENERATED_CLIENT'] ?? '', 'bin', 'python')

/** Program and arguments. */
export type Command = readonly [file: string, ...args: string[]]

/** One language, with the name of the generator and its options. */
export interface Language {
  readonly generator: string
  readonly options: readonly string[]
  /** A command that succeeds where everything is there. */
  readonly check: Command
  readonly needs: string
  /** Builds the program in the folder of the client; `undefined` where something is missing. */
  readonly build: (
    t: TestContext,
    folder: string,
    calls: readonly Call[],
  ) => Promise<Command | undefined>
}

export const LANGUAGES: readonly Language[] = [
  {
    generator: 'python',
    options: ['--package-name', 'onnxd_client'],
    check: [python, '-c', 'import pydantic'],
    needs: 'Python with venv; run npm run test:interop',
    build: async (_t, folder) => {
      copyFileSync(path.join(PROGRAMS, 'program.py'), path.join(folder, 'program.py'))
      return [python, 'program.py']
    },
  },
  {
    generator: 'typescript-fetch',
    options: [],
    check: [process.execPath, '--version'],
    needs: 'Node',
    build: async (t, folder) => {
      if (!installGenerators(t)) return undefined
      const compilerOptions = {
        target: 'es2022',
        lib: ['es2022', 'dom'],
        module: 'commonjs',
        strict: true,
        types: [],
        outDir: 'compiled',
      }
      const project = { compilerOptions, files: ['index.ts'] }
      writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(project))
      await run(process.execPath, [GENERATORS_TSC, '-p', '.'], { cwd: folder })
      copyFileSync(path.join(PROGRAMS, 'program.mjs'), path.join(folder, 'program.mjs'))
      return [process.execPath, 'program.mjs']
    },
  },
  {
    generator: 'go',
    options: [],
    check: ['go', 'version'],
    needs: 'Go',
    build: async (t, folder, calls) => {
      const program = path.join(folder, 'program')
      mkdirSync(program)
      copyFileSync(path.join(PROGRAMS, 'program.go'), path.join(program, 'main.go'))
      writeFileSync(path.join(program, 'operations.go'), goOperations(folder, calls))
      const { status, stderr } = spawnSync('go', ['mod', 'tidy'], { cwd: folder, encoding: 'utf8' })
      if (status !== 0) {
        t.skip(`needs a proxy of Go modules: ${stderr.split('\n').at(-2) ?? ''}`)
        return undefined
      }
      await run('go', ['build', '-o', 'program/program', './program'], { cwd: folder })
      return ['program/program']
    },
  },
  {
    generator: 'java',
    options: [],
    check: ['javac', '-version'],
    needs: 'a JDK',
    build: async (t, folder) => {
      const dependencies = ['-q', '-B', 'dependency:copy-dependencies']
      if (spawnSync('mvn', dependencies, { cwd: folder }).status !== 0) {
        t.skip('needs Maven and its repository')
        return undefined
      }
      const sources = path.join(folder, 'src', 'main', 'java')
      copyFileSync(path.join(PROGRAMS, 'Program.java'), path.join(sources, 'Program.java'))
      const options = [
        '-d',
        'target/classes',
        '-cp',
        'target/dependency/*',
        '-proc:none',
        '-nowarn',
      ]
      // Its classes are found by their names at run time, so all of them are compiled.
      const all = readdirSync(sources, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.java'))
        .map((name) => path.join('src', 'main', 'java', name))
      await run('javac', ['-J-XX:TieredStopAtLevel=1', ...options, ...all], { cwd: folder })
      return ['java', '-cp', 'target/classes:target/dependency/*', 'Program']
    },
  },
]
