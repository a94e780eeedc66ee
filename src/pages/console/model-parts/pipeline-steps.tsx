import type { JSX } from 'preact'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { Notice } from '../../shared/components/notice.tsx'
import { NONE } from '../../shared/format.ts'
import type { Version } from '../logic/live.ts'
import { modelAddress } from '../logic/route.ts'
import { stepVersion } from '../logic/version-facts.ts'
import { Card } from '../parts/card.tsx'
import type { PipelineInfo, StepInfo } from './model-data.ts'
import { VersionStatus } from './version-status.tsx'

interface NumberedStep extends StepInfo {
  readonly number: number
}

interface PipelineStepsProps {
  readonly pipeline: PipelineInfo
  /** The versions of all models. */
  readonly all: readonly Version[]
}

/** The models that a pipeline calls, in the order of its file, and what is wrong with them. */
export function PipelineSteps({ pipeline, all }: PipelineStepsProps): JSX.Element {
  const rows = pipeline.steps.map((step, index): NumberedStep => ({ ...step, number: index + 1 }))
  const problems = [pipeline.problem, ...rows.map(({ problem }) => problem)].filter(
    (problem) => problem !== undefined,
  )
  return (
    <Card title="Steps" isFlush>
      {problems.length > 0 && (
        <div class="card-body stack">
          {problems.map((problem) => (
            <Notice key={problem} tone="bad">
              {problem}
            </Notice>
          ))}
        </div>
      )}
      <DataTable
        caption="Steps of the pipeline"
        columns={columnsOf(all)}
        rows={rows}
        keyOf={({ number }) => String(number)}
      />
    </Card>
  )
}

function columnsOf(all: readonly Version[]): readonly Column<NumberedStep>[] {
  return [
    { title: 'Step', cell: ({ number }) => number },
    {
      title: 'Model',
      cell: ({ model, version }) => (
        <a class="breakable" href={modelAddress(model)}>
          {version === undefined ? model : `${model} ${version}`}
        </a>
      ),
    },
    {
      title: 'Status',
      cell: (step) => {
        const version = stepVersion(all, step)
        return version === undefined ? NONE : <VersionStatus state={version.status} />
      },
    },
    { title: 'Reads', cell: ({ inputs }) => <Names names={inputs} /> },
    { title: 'Writes', cell: ({ outputs }) => <Names names={outputs} /> },
  ]
}

/** Names in the pipeline, each with that of the model if it has another one. */
function Names({ names }: { names: StepInfo['inputs'] }): JSX.Element {
  return (
    <>
      {Object.entries(names).map(([own, ours]) => (
        <div key={own} class="mono">
          {own === ours ? ours : `${ours} (${own})`}
        </div>
      ))}
    </>
  )
}
