/** What further processes report to process 0 without a question. */
import type { ModelIndex } from '../../models/model-index/model-index.ts'
import type { Registry } from '../../models/registry.ts'
import { judge } from '../desired-state.ts'
import type { Registrations } from '../desired-state.ts'
import type { Report } from '../messages.ts'

/** What {@link takeReport} needs from process 0. */
export interface ReportContext {
  readonly registry: Registry
  readonly registrations: Registrations
  readonly index: ModelIndex | undefined
  readonly running: readonly LearningProcess[]
}

/** A process that is told what another one has learned. */
export interface LearningProcess {
  learn(lines: readonly string[]): void
}

/** Takes a report. What one process has learned of models, the others learn too. */
export function takeReport(
  report: Report,
  from: LearningProcess,
  { registry, registrations, index, running }: ReportContext,
): void {
  switch (report.type) {
    case 'judged':
      judge(registry, registrations, report.reports)
      return
    case 'copied':
      registry.shadows.add(report.reports)
      return
    case 'learned':
      index?.add(report.lines)
      for (const one of running) if (one !== from) one.learn(report.lines)
  }
}
