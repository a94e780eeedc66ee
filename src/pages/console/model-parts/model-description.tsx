import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { pathOf } from '../../shared/api-client.ts'
import { Button } from '../../shared/components/button.tsx'
import { DataTable } from '../../shared/components/data-table.tsx'
import type { Column } from '../../shared/components/data-table.tsx'
import { ErrorNotice } from '../../shared/components/notice.tsx'
import { NONE, formatBytes } from '../../shared/format.ts'
import type { Version } from '../logic/live.ts'
import { stepVersion } from '../logic/version-facts.ts'
import { client } from '../page-state/client.ts'
import { Card } from '../parts/card.tsx'
import { useLoaded } from '../parts/use-loaded.ts'
import type { SettingInfo, StepInfo, TensorInfo, VersionDescription } from './model-data.ts'
import { PipelineSteps } from './pipeline-steps.tsx'

interface Tensor extends TensorInfo {
  readonly kind: 'Input' | 'Output'
}

const TENSOR_COLUMNS: readonly Column<Tensor>[] = [
  { title: 'Name', cell: ({ name }) => <span class="mono breakable">{name}</span> },
  { title: 'Kind', cell: ({ kind }) => kind },
  { title: 'Type', cell: ({ datatype }) => datatype },
  { title: 'Shape', cell: ({ shape }) => `[${shape.map(dimensionText).join(', ')}]` },
]

type NamedSetting = readonly [name: string, setting: SettingInfo]

const SETTING_COLUMNS: readonly Column<NamedSetting>[] = [
  { title: 'Setting', cell: ([name]) => <span class="mono">{name}</span> },
  {
    title: 'Value',
    className: 'breakable',
    cell: ([, { value }]) => (typeof value === 'string' ? value : JSON.stringify(value)),
  },
  { title: 'From', cell: ([, { from }]) => from },
]

interface ModelDescriptionProps {
  readonly version: Version
  /** The versions of all models. */
  readonly all: readonly Version[]
}

/** Inputs, outputs and settings of a version. They change rarely, so they are read on demand. */
export function ModelDescription({ version, all }: ModelDescriptionProps): JSX.Element {
  const { name } = version
  const path = pathOf('models', name, version.version)
  const steps = useRef<readonly StepInfo[]>([])
  // After these changes the description may differ.
  const key = [
    `${version.status} ${String(version.minWorkers)}`,
    ...steps.current
      .map((step) => stepVersion(all, step))
      .map((one) => `${one?.version} ${one?.status}`),
  ].join()
  const { data, error } = useLoaded<readonly VersionDescription[]>(path, key)
  const [description] = data ?? []
  steps.current = description?.metadata?.pipeline?.steps ?? []
  if (description === undefined)
    return error === undefined ? (
      <Card title="Inputs and outputs">{NONE}</Card>
    ) : (
      <ErrorNotice error={error} />
    )
  const { metadata, settings, weights } = description
  const tensors = [
    ...(metadata?.inputs ?? []).map((tensor): Tensor => ({ ...tensor, kind: 'Input' })),
    ...(metadata?.outputs ?? []).map((tensor): Tensor => ({ ...tensor, kind: 'Output' })),
  ]
  return (
    <>
      {metadata?.pipeline !== undefined && <PipelineSteps pipeline={metadata.pipeline} all={all} />}
      <div class="two-columns">
        <Card title="Inputs and outputs" aside={<SchemaButton version={version} />} isFlush>
          {tensors.length === 0 ? (
            <p class="card-body dim">{unknownText(description)}</p>
          ) : (
            <DataTable
              caption="Inputs and outputs"
              columns={TENSOR_COLUMNS}
              rows={tensors}
              keyOf={(tensor) => `${tensor.kind} ${tensor.name}`}
            />
          )}
          <dl class="facts">
            <dt>Source</dt>
            <dd class="breakable">{description.modelUrl}</dd>
            {weights !== undefined && metadata?.pipeline === undefined && (
              <>
                <dt>Weights</dt>
                <dd>{weightText(weights)}</dd>
              </>
            )}
          </dl>
        </Card>
        <Card title="Settings" isFlush>
          <DataTable
            caption="Settings of the model"
            columns={SETTING_COLUMNS}
            rows={Object.entries(settings)}
            keyOf={([setting]) => setting}
          />
        </Card>
      </div>
    </>
  )
}

/** Why the inputs and outputs of a model are not shown. */
function unknownText({ status, metadata }: VersionDescription): string {
  if (metadata?.pipeline !== undefined) return 'They are known when the steps have no problem.'
  return status === 'UNLOADED'
    ? 'They are known after the first load.'
    : 'The model does not describe them.'
}

/** Saves the model's OpenAPI document. A link could not send the token. */
function SchemaButton({ version: { name } }: { version: Version }): JSX.Element {
  const [error, setError] = useState<unknown>()
  const save = async (): Promise<void> => {
    const response = await client.send(pathOf('models', name), { method: 'OPTIONS' })
    const url = URL.createObjectURL(await response.blob())
    const link = document.createElement('a')
    link.href = url
    link.download = `${name}.openapi.json`
    link.click()
    URL.revokeObjectURL(url)
  }
  return (
    <>
      {error !== undefined && <ErrorNotice error={error} />}
      <Button icon="download" kind="quiet" onClick={() => void save().catch(setError)}>
        OpenAPI document
      </Button>
    </>
  )
}

function dimensionText(dimension: number | string): string {
  return dimension === -1 ? 'any' : String(dimension)
}

function weightText({ state, bytes, reason }: NonNullable<VersionDescription['weights']>): string {
  const size = bytes === undefined ? '' : `, ${formatBytes(bytes)}`
  if (state === 'shared') return `Shared by the workers${size}.`
  const text = state === 'pending' ? 'Being prepared.' : 'Each worker has its own copy.'
  return reason === undefined ? text : `${text} ${reason}`
}
