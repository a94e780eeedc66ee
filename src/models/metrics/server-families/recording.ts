/** Metrics of the recording of requests. */
import type { Registry } from 'prom-client'
import { addCounter } from '../families.ts'

/** Counts of a recorder, which change while it runs. */
export interface RecordingCounts {
  readonly recorded: number
  /** By reason. */
  readonly dropped: Readonly<Record<string, number>>
}

/** Adds the counts of a server that records requests. */
export function addRecording(registry: Registry, counts: RecordingCounts): void {
  addCounter(
    registry,
    {
      name: 'onnxd_recorded_requests_total',
      help: 'Requests that were written to the recording.',
      labelNames: [],
    },
    () => [[{}, counts.recorded]],
  )
  addCounter(
    registry,
    {
      name: 'onnxd_recording_dropped_total',
      help: 'Requests that were not recorded, by reason: buffer (the disk is slower than the requests), size (too large for the file), disk (the write failed).',
      labelNames: ['reason'],
    },
    () => Object.entries(counts.dropped).map(([reason, count]) => [{ reason }, count]),
  )
}
