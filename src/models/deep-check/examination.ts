/** The steps of a deep check, in the order of their importance. */
import { messageOf } from '../../errors.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import type { Prediction } from '../scheduling/queue/job.ts'
import { exampleSets } from './example-requests.ts'
import type { ExampleRequest } from './example-requests.ts'
import { differenceOf, errorOf } from './outputs.ts'
import type { DeepFinding, GrowingReport } from './report.ts'
import { measureSpeeds, threadCounts } from './speed.ts'
import type { SpeedPlan } from './speed.ts'
import { TrialWorker } from './trial-worker.ts'
import type { TrialModel } from './trial-worker.ts'

const MIB = 1024 * 1024

/** Limits of a check. */
export interface ExaminationOptions {
  /** Ends the check and its workers. */
  readonly signal: AbortSignal
  readonly remainingMs: () => number
  /** Requests to send in place of generated ones; empty: generated ones. */
  readonly given: readonly ExampleRequest[]
}

/** Requests that the model accepts, and what is known about them. */
interface ServedRequests {
  readonly requests: readonly ExampleRequest[]
  /** The responses, one for each request. */
  readonly outputs: readonly Prediction[]
  /** Whether requests may share a run. */
  readonly isSafe: boolean
  /** How the response to the same request differs from run to run; `undefined` if it does not. */
  readonly randomness: string | undefined
}

/** Checks one model, and writes what it finds into a report. */
export class Examination {
  readonly #model: TrialModel
  readonly #report: GrowingReport
  readonly #signal: AbortSignal
  readonly #remainingMs: () => number
  readonly #given: readonly ExampleRequest[]

  constructor(
    model: TrialModel,
    report: GrowingReport,
    { signal, remainingMs, given }: ExaminationOptions,
  ) {
    this.#model = model
    this.#report = report
    this.#signal = signal
    this.#remainingMs = remainingMs
    this.#given = given
  }

  /** @throws ServerError if the model cannot be loaded; the reason of the signal. */
  async run(): Promise<void> {
    const served = await this.#withWorker({}, (worker) => this.#serve(worker))
    if (served === undefined) return
    await this.#compareOptimization(served)
    await this.#measureOtherThreads(served)
  }

  /** Loads the model as it is served; `undefined` if no request can be sent to it. */
  async #serve(worker: TrialWorker): Promise<ServedRequests | undefined> {
    const { prepared } = this.#model
    await this.#noteLoad(worker)
    if (prepared.hasCode || prepared.runtime !== 'node') {
      const text =
        pipelineOf(prepared) === undefined
          ? 'A custom handler may do anything with a request, so only its load was checked.'
          : 'A pipeline runs other models, which are checked by themselves.'
      this.#add('note', 'requests', text)
      return undefined
    }
    const requests = await this.#findRequests(worker)
    if (requests === undefined) return undefined
    const outputs = await sendEach(worker, requests)
    const isSafe = await this.#checkBatching(worker, requests)
    const randomness = differenceOf(outputs, await sendEach(worker, requests))
    const { threads } = this.#model.settings
    const ms = this.#remainingMs() / (threadCounts(threads).length + 1) / 2
    await this.#measureSpeeds(worker, { requests, isSafe, threads, ms })
    await this.#noteLoad(worker)
    return { requests, outputs, isSafe, randomness }
  }

  /** Writes the first finding, with the memory so far. */
  async #noteLoad(worker: TrialWorker): Promise<void> {
    const peak = await worker.peakBytes()
    const ms = Math.round(worker.loadMs)
    const { findings } = this.#report
    this.#report.load = { ms, ...(peak !== undefined && { peakBytes: peak }) }
    const memory = peak === undefined ? '' : `, and needed at most ${Math.ceil(peak / MIB)} MiB`
    const text = `The model was loaded in ${ms} ms${memory}.`
    findings.splice(0, Math.min(1, findings.length), { level: 'ok', subject: 'load', text })
  }

  async #findRequests(worker: TrialWorker): Promise<readonly ExampleRequest[] | undefined> {
    const given =
      this.#given.length === 0 ? [] : [{ kind: 'the given body', requests: this.#given }]
    const sets = given.length > 0 ? given : exampleSets(await this.#describe(worker))
    let error: string | undefined
    for (const { kind, requests } of sets) {
      error = errorOf(await sendEach(worker, requests))
      if (error === undefined) {
        const count = requests.length === 1 ? '1 request' : `${requests.length} requests`
        this.#add('ok', 'requests', `The model accepts ${count} with ${kind}.`)
        return requests
      }
    }
    const reason = error === undefined ? 'its inputs are not known or too large' : error
    const which = given.length > 0 ? 'The given request fails' : 'No generated request succeeds'
    this.#add('warning', 'requests', `${which}, so nothing was measured: ${reason}`)
    return undefined
  }

  async #compareOptimization(served: ServedRequests): Promise<void> {
    const { requests, outputs, randomness } = served
    if (randomness !== undefined) {
      const text = `The outputs of a request differ from run to run, so they cannot be compared: ${randomness}`
      return this.#add('warning', 'optimization', text)
    }
    let plain
    try {
      plain = await this.#withWorker({ graphOptimization: 'disabled' }, (worker) =>
        sendEach(worker, requests),
      )
    } catch (error) {
      this.#signal.throwIfAborted()
      const text = `The model does not run without graph optimization: ${messageOf(error, 300)}`
      return this.#add('note', 'optimization', text)
    }
    const difference = differenceOf(plain, outputs)
    if (difference === undefined) {
      const text = 'The outputs agree with and without graph optimization.'
      return this.#add('ok', 'optimization', text)
    }
    this.#report.isOptimizationWrong = true
    const text = `The outputs differ with and without graph optimization: ${difference}`
    this.#add('problem', 'optimization', text)
  }

  /** Returns whether requests may share a run: the proof, then a trial with these requests. */
  async #checkBatching(worker: TrialWorker, requests: readonly ExampleRequest[]): Promise<boolean> {
    const before = await this.#verdict(worker)
    if (before === undefined) return false
    if (!before.joins) {
      this.#add('note', 'batching', `Requests do not share a run: ${before.reason}`)
      return false
    }
    const several = [...requests, ...requests]
    const alone = await sendEach(worker, several)
    const together = await worker.send(several)
    const difference = differenceOf(alone, together)
    const after = await this.#verdict(worker)
    if (difference !== undefined) {
      const text = `Responses of ${several.length} requests in one run differ from those of single runs: ${difference}. Set "joinBatches": "never".`
      this.#add('problem', 'batching', text)
      return false
    }
    if (after?.joins !== true) {
      this.#add('warning', 'batching', `Requests do not share a run: ${after?.reason ?? 'unknown'}`)
      return false
    }
    const text = `Requests can share a run. ${after.reason} A trial with ${several.length} requests confirms it.`
    this.#add('ok', 'batching', text)
    return true
  }

  /** The metadata of the model, as the worker knows it now. */
  async #describe(worker: TrialWorker): Promise<unknown> {
    const [answer] = await worker.send([{ headers: [['describe', 'True']], parameters: [] }])
    return JSON.parse(answer?.body.toString('utf8') ?? '{}')
  }

  async #verdict(worker: TrialWorker): Promise<{ joins: boolean; reason: string } | undefined> {
    const described = await this.#describe(worker)
    const { batching }: { batching?: unknown } = { ...(described as object) }
    if (typeof batching !== 'object' || batching === null) return undefined
    const { joins, reason }: { joins?: unknown; reason?: unknown } = batching
    return { joins: joins === true, reason: String(reason) }
  }

  /** With the threads of the model's settings, the worker that serves is measured. */
  async #measureOtherThreads({ requests, isSafe }: ServedRequests): Promise<void> {
    const present = this.#model.settings.threads
    const counts = threadCounts(present).filter((threads) => threads !== present)
    for (const [index, threads] of counts.entries()) {
      const share = this.#remainingMs() / (counts.length - index)
      await this.#withWorker({ threads }, (worker) =>
        this.#measureSpeeds(worker, { requests, isSafe, threads, ms: share / 2 }),
      )
    }
  }

  async #measureSpeeds(worker: TrialWorker, plan: SpeedPlan): Promise<void> {
    const { speeds } = this.#report
    speeds.push(...(await measureSpeeds(worker, plan)))
    speeds.sort((a, b) => a.threads - b.threads || a.batch - b.batch)
  }

  async #withWorker<T>(
    overrides: Parameters<typeof TrialWorker.start>[1],
    use: (worker: TrialWorker) => Promise<T>,
  ): Promise<T> {
    const worker = await TrialWorker.start(this.#model, overrides, this.#signal)
    try {
      return await use(worker)
    } catch (error) {
      // A worker that the signal has ended fails with another error.
      this.#signal.throwIfAborted()
      throw error
    } finally {
      await worker.stop()
    }
  }

  #add(level: DeepFinding['level'], subject: DeepFinding['subject'], text: string): void {
    this.#report.findings.push({ level, subject, text })
  }
}

/** Sends requests one after the other. */
async function sendEach(
  worker: TrialWorker,
  requests: readonly ExampleRequest[],
): Promise<Prediction[]> {
  const predictions: Prediction[] = []
  for (const request of requests) predictions.push(...(await worker.send([request])))
  return predictions
}
