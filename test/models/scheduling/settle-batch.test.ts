import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { CrashList } from '../../../src/models/scheduling/crash-list.ts'
import { Job } from '../../../src/models/scheduling/queue/job.ts'
import { QueuedJob } from '../../../src/models/scheduling/queue/queued-job.ts'
import { recoverBatch } from '../../../src/models/scheduling/settle-batch.ts'
import { WorkerDiedError } from '../../../src/worker/host/outcomes.ts'
import { ResponseStream } from '../../../src/worker/host/response-stream.ts'

const newJob = (): Job =>
  new Job([], [{ name: 'body', contentType: '', value: Buffer.from('poison') }])

test('a body that crashes workers while its response is streamed is rejected later', () => {
  const crashes = new CrashList('m', 60_000)
  const metrics = new VersionMetrics()
  for (const isCancelled of [false, true, false]) {
    crashes.check(newJob(), metrics)
    const flow = { onPause: () => {}, onResume: () => {}, onCancel: () => {} }
    const stream = new ResponseStream(flow)
    if (isCancelled) stream.cancel()
    const job = newJob()
    const head = { id: '', contentType: '', status: 200, reason: '', headers: [] }
    job.resolve({ ...head, body: Buffer.alloc(0) }, stream)
    const error = new WorkerDiedError('was killed by SIGSEGV', true)
    const again = recoverBatch([new QueuedJob(job, 1)], error, { isRetryable: true }, crashes)
    assert.deepEqual(again, [], 'its client has a part of the response')
  }
  assert.throws(() => crashes.check(newJob(), metrics), { name: 'CrashingRequestException' })
})
