/**
 * HTTP load: with `wrk` if it is installed, because it uses the least CPU time, else with
 * `autocannon`.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import autocannon from 'autocannon'

const execute = promisify(execFile)

/** A request that is repeated. */
export interface Request {
  readonly url: string
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

export interface Load {
  readonly connections: number
  readonly seconds: number
}

/** Result of a load. Latencies are in milliseconds. */
export interface LoadResult {
  /** Responses with a 2xx status per second. */
  readonly rate: number
  readonly p50: number
  readonly p99: number
  /** Responses without a 2xx status, and failed connections. */
  readonly bad: number
}

let tool: 'wrk' | 'autocannon' | undefined

/** Name of the client that {@link closedLoop} uses. */
export function loadTool(): string {
  if (tool === undefined) {
    try {
      execFileSync('wrk', ['-v'], { stdio: 'ignore' })
      tool = 'wrk'
    } catch (error) {
      // `wrk -v` prints its version and exits with code 1.
      tool =
        error instanceof Error && 'status' in error && error.status === 1 ? 'wrk' : 'autocannon'
    }
  }
  return tool
}

/** Each connection sends its next request when it has received the response. */
export function closedLoop(request: Request, load: Load): Promise<LoadResult> {
  return loadTool() === 'wrk' ? runWrk(request, load) : runAutocannon(request, load)
}

/**
 * Same as {@link closedLoop}.
 * @throws Error if a response has no 2xx status, because the result would mean nothing.
 */
export async function goodLoop(request: Request, load: Load): Promise<LoadResult> {
  const result = await closedLoop(request, load)
  if (result.bad > 0 || result.rate === 0) {
    throw new Error(`${result.bad} bad answers, ${result.rate} good ones a second`)
  }
  return result
}

/**
 * Runs wrk with a script that sends the body and prints the results as numbers, with times in
 * microseconds.
 */
async function runWrk(request: Request, { connections, seconds }: Load): Promise<LoadResult> {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
  try {
    const body = path.join(folder, 'body')
    const script = path.join(folder, 'load.lua')
    writeFileSync(body, request.body)
    writeFileSync(
      script,
      [
        'wrk.method = "POST"',
        `local file = io.open(${JSON.stringify(body)}, "rb")`,
        'wrk.body = file:read("*a")',
        ...Object.entries(request.headers).map(
          ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
        ),
        'done = function(summary, latency)',
        '  local errors = summary.errors',
        '  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout',
        '  io.write(string.format("\\nFIGURES %d %d %d %d %d\\n", summary.requests, summary.duration,',
        '    latency:percentile(50), latency:percentile(99), bad))',
        'end',
      ].join('\n'),
    )
    const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '-s', script]
    const { stdout } = await execute('wrk', [...args, '--timeout', '30s', request.url])
    const found = /^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout)
    if (found === null) throw new Error(`wrk printed no figures: ${stdout}`)
    const [requests = 0, us = 1, p50 = 0, p99 = 0, bad = 0] = found.slice(1).map(Number)
    return { rate: ((requests - bad) / us) * 1e6, p50: p50 / 1000, p99: p99 / 1000, bad }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function runAutocannon(
  { url, body, headers }: Request,
  { connections, seconds }: Load,
): Promise<LoadResult> {
  const result = await autocannon({
    url,
    method: 'POST',
    body,
    headers,
    connections,
    duration: seconds,
    timeout: 30,
  })
  const { latency, non2xx, errors } = result
  return {
    rate: result['2xx'] / result.duration,
    p50: latency.p50,
    p99: latency.p99,
    bad: non2xx + errors,
  }
}
