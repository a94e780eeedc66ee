/** Runs commands of `onnxd` as people do: as processes, with and without a terminal. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { CLI, childrenOf } from './server.ts'

/** How a command ended. */
export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Options of {@link runOnnxd}. */
export interface CommandOptions {
  readonly environment?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Content of standard input. */
  readonly input?: string | Buffer
  /** Called with everything that a terminal got so far, and the process that has the terminal. */
  readonly onOutput?: (output: string, pid: number) => void
}

/** Runs a command without a terminal. */
export async function runOnnxd(
  args: readonly string[],
  { environment = {}, cwd, input = '' }: CommandOptions = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: commandEnvironment(environment),
    ...(cwd !== undefined && { cwd }),
  })
  const result = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (result.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (result.stderr += chunk.toString()))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [code] = await once(child, 'close')
  return { code, ...result }
}

/** Runs its arguments in a pseudo terminal of a width, and prints what the terminal gets. */
const PTY_PROGRAM = `
import fcntl, os, pty, struct, sys, termios
columns, command = int(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 50, columns, 0, 0))
    os.execvp(command[0], command)
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
`

/** Whether a pseudo terminal can be opened here: it needs Python 3.9. */
export const hasTerminal =
  spawnSync('python3', ['-c', 'import pty, os; os.waitstatus_to_exitcode']).status === 0

/** Runs a command in a terminal. The output is everything that the terminal got. */
export async function runInTerminal(
  args: readonly string[],
  columns: number,
  { environment = {}, cwd, onOutput }: CommandOptions = {},
): Promise<Pick<CommandResult, 'code'> & { readonly output: string }> {
  const all = ['-c', PTY_PROGRAM, String(columns), process.execPath, CLI, ...args]
  const child = spawn('python3', all, {
    env: commandEnvironment({ TERM: 'xterm', ...environment }),
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(cwd !== undefined && { cwd }),
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    onOutput?.(output, childrenOf(child.pid ?? 0)[0] ?? 0)
  })
  const [code] = await once(child, 'close')
  return { code, output: output.replaceAll('\r\n', '\n') }
}

/**
 * The lines that stay on the screen: a text after a carriage return replaces the one before, if it
 * begins with the sequence that erases the line.
 */
export function screen(output: string): string {
  return output
    .split('\n')
    .map((line) => line.split('\r\u001b[K').at(-1) ?? '')
    .join('\n')
}

function commandEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  // Each of these decides whether a terminal has colours; Node assumes none in an unknown CI.
  const { NO_COLOR: _no, FORCE_COLOR: _force, CI: _ci, ...inherited } = process.env
  const own = { ONNXD_SPARE_WORKERS: '0', ONNXD_WEIGHT_CACHE: 'off' }
  return { ...inherited, ...own, ...environment }
}
