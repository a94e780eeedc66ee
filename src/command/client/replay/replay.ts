/** `onnxd replay FILE --against MODEL`: recorded requests to another version. */
import { Recording } from '../../../recording/recording.ts'
import { withModel } from '../../offline/private-server.ts'
import { textFlag } from '../../program/outcome.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import type { Target } from '../recorded/rewrite.ts'
import { selectRequests } from '../recorded/selection.ts'
import type { Selection } from '../recorded/selection.ts'
import { Sender } from '../recorded/sender.ts'
import { parseUrl } from '../server-client.ts'
import { ReplayFindings } from './findings.ts'
import { planOf } from './plan.ts'
import type { ReplayPlan } from './plan.ts'
import { percentilesOf, replayText } from './report.ts'
import type { ReplayReport } from './report.ts'
import { sendAll } from './send-all.ts'

const DEFAULT_URL = 'http://127.0.0.1:8080'
/** In an open loop, further requests wait for a connection. */
const OPEN_CONNECTIONS = 1000

/**
 * @throws ConfigError for arguments or a file that cannot be used; Error if no server responds or
 * the model cannot be loaded.
 */
export async function replayRequests(input: CommandInput): Promise<Outcome> {
  const plan = planOf(input)
  const recording = await Recording.open(plan.file)
  try {
    const { against, model, limit } = plan
    const preferred = 'target' in against ? against.target.name : undefined
    const { signal } = input
    const selection = await selectRequests(recording, plan.file, {
      model,
      preferred,
      limit,
      signal,
    })
    const work = { plan, recording, selection, input }
    const report =
      'target' in against
        ? await replayTo(urlOf(input), tokenOf(input), against.target, work)
        : // The model has the recorded name, so that paths stay valid.
          await withModel(input, `${selection.model}=${against.path}`, ({ server }) => {
            const target = { name: selection.model, version: undefined }
            return replayTo(new URL(server.inferenceUrl), {}, target, work)
          })
    const isSame = report.agreed > 0 && problemsOf(report) === 0
    return { data: report, text: replayText(report, input.terminal), code: isSame ? 0 : 1 }
  } finally {
    await recording.close()
  }
}

interface Work {
  readonly plan: ReplayPlan
  readonly recording: Recording
  readonly selection: Selection
  readonly input: CommandInput
}

async function replayTo(
  url: URL,
  headers: Readonly<Record<string, string>>,
  target: Target,
  { plan, recording, selection, input }: Work,
): Promise<ReplayReport> {
  const { rate, connections } = plan
  const { requests, model } = selection
  const sender = new Sender(url, headers, rate.kind === 'max' ? connections : OPEN_CONNECTIONS)
  const stop = (): void => sender.close()
  input.signal.addEventListener('abort', stop, { once: true })
  try {
    await sender.check()
    const findings = new ReplayFindings(plan.tolerance)
    const times = await sendAll({
      recording,
      requests,
      target,
      sender,
      findings,
      plan,
      signal: input.signal,
      onProgress: (sent) => input.progress(`replaying ${plan.file}, ${sent} of ${requests.length}`),
    })
    const recordedMs = requests.flatMap(({ ms, status }) => (status < 300 ? [ms] : []))
    return {
      recording: plan.file,
      model,
      against: 'path' in plan.against ? plan.against.path : nameOf(target),
      url: 'path' in plan.against ? undefined : url.href.replace(/\/$/, ''),
      rate: rate.kind === 'rate' ? rate.perSecond : rate.kind,
      ...(rate.kind === 'max' && { connections }),
      requests: requests.length,
      from: isoTime(requests[0]?.time),
      to: isoTime(requests.at(-1)?.time),
      ...findings.counts,
      sent: times.sent,
      seconds: times.elapsedMs / 1000,
      latencyMs: { recorded: percentilesOf(recordedMs), replayed: percentilesOf(times.latencies) },
    }
  } finally {
    input.signal.removeEventListener('abort', stop)
    sender.close()
  }
}

/** Requests whose responses are not those of the recording. */
function problemsOf({ differed, statusChanges, failed }: ReplayReport): number {
  const counts = [...Object.values(statusChanges), ...Object.values(failed)]
  return counts.reduce((sum, count) => sum + count, differed)
}

function nameOf({ name, version }: Target): string {
  return version === undefined ? name : `${name}@${version}`
}

function isoTime(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString()
}

function urlOf(input: CommandInput): URL {
  return parseUrl(textFlag(input, 'url') ?? input.environment.ONNXD_INFERENCE_URL ?? DEFAULT_URL)
}

function tokenOf({ environment }: CommandInput): Record<string, string> {
  const token = environment.ONNXD_INFERENCE_TOKEN?.trim()
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}
