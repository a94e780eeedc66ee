/** Sums up the file that onnxruntime writes when it profiles a session. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { OperatorShare, ProfileSummary, SlowNode } from '../../../../contract/profile.ts'

/** Nodes in the result. */
const MAX_NODES = 20
const KERNEL_TIME = '_kernel_time'

/** An event of the file: times are in microseconds. */
interface ProfileEvent {
  readonly name?: unknown
  readonly dur?: unknown
  readonly args?: { readonly op_name?: unknown; readonly output_size?: unknown }
}

interface Total {
  readonly operator: string
  calls: number
  us: number
  bytes: number
}

/**
 * Reads the file, in which each event has its own line. The first run is left out: it is the run
 * with zeros after the load, or the first request, and allocates memory that later runs use again.
 */
export async function summarize(file: string): Promise<ProfileSummary> {
  let nodes = new Map<string, Total>()
  let runs = -1
  let runUs = 0
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const event = eventOf(line)
    if (typeof event?.name !== 'string' || typeof event.dur !== 'number') continue
    if (event.name === 'model_run') {
      runs += 1
      if (runs === 0) nodes = new Map()
      else runUs += event.dur
    } else if (event.name.endsWith(KERNEL_TIME)) {
      addNode(nodes, event.name.slice(0, -KERNEL_TIME.length), event)
    }
  }
  return summaryOf(nodes, Math.max(runs, 0), runUs)
}

function addNode(nodes: Map<string, Total>, node: string, { dur, args }: ProfileEvent): void {
  const operator = typeof args?.op_name === 'string' ? args.op_name : 'unknown'
  const total = nodes.get(node) ?? { operator, calls: 0, us: 0, bytes: 0 }
  nodes.set(node, total)
  total.calls += 1
  total.us += Number(dur)
  const bytes = Number(args?.output_size)
  if (Number.isFinite(bytes)) total.bytes += bytes
}

function summaryOf(nodes: ReadonlyMap<string, Total>, runs: number, runUs: number): ProfileSummary {
  const all = [...nodes.values()].reduce((sum, { us }) => sum + us, 0)
  const perRun = ({ calls, us, bytes }: Total) => ({
    calls: rounded(calls / runs),
    ms: rounded(us / runs / 1000),
    share: rounded(us / all),
    outputBytes: Math.round(bytes / runs),
  })
  const operators = new Map<string, Total>()
  for (const { operator, calls, us, bytes } of nodes.values()) {
    const total = operators.get(operator) ?? { operator, calls: 0, us: 0, bytes: 0 }
    operators.set(operator, total)
    total.calls += calls
    total.us += us
    total.bytes += bytes
  }
  if (runs === 0) return { runs, msPerRun: 0, operators: [], nodes: [] }
  return {
    runs,
    msPerRun: rounded(runUs / runs / 1000),
    operators: [...operators.values()]
      .toSorted((one, other) => other.us - one.us)
      .map((total): OperatorShare => ({ operator: total.operator, ...perRun(total) })),
    nodes: [...nodes]
      .toSorted(([, one], [, other]) => other.us - one.us)
      .slice(0, MAX_NODES)
      .map(([node, total]): SlowNode => ({ node, operator: total.operator, ...perRun(total) })),
  }
}

/** The file begins with `[` and ends with `]`; the lines between are objects with a comma. */
function eventOf(line: string): ProfileEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line.replace(/,\s*$/, '')) as ProfileEvent
  } catch {
    return undefined
  }
}

/** To microseconds, or to a tenth of a percent. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
