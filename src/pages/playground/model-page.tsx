import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { pathOf } from '../shared/api-client.ts'
import { Button } from '../shared/components/button.tsx'
import { ErrorNotice } from '../shared/components/notice.tsx'
import { describeModel } from './model/description.ts'
import type { ModelDescription, Tensor } from './model/description.ts'
import { api, hashOf } from './state.ts'
import { Workbench } from './workbench.tsx'

interface ModelPageProps {
  readonly model: string
  readonly version: string | undefined
}

/** One model: what it is, and a form to try it. */
export function ModelPage({ model, version }: ModelPageProps): JSX.Element {
  const [description, setDescription] = useState<ModelDescription>()
  const [error, setError] = useState<unknown>()
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    document.title = `${model} – onnxd playground`
    const stop = new AbortController()
    setError(undefined)
    loadDescription(model, version, stop.signal).then(setDescription, (problem: unknown) => {
      if (!stop.signal.aborted) setError(problem)
    })
    return () => stop.abort()
  }, [model, version, attempt])

  return (
    <div class="model">
      <div class="model-head">
        <div class="row">
          <h1 class="breakable">{model}</h1>
          {description !== undefined && <VersionPicker description={description} />}
        </div>
        {description !== undefined && <Signature description={description} />}
      </div>
      {error !== undefined && (
        <div class="stack">
          <ErrorNotice error={error} />
          <div>
            <Button onClick={() => setAttempt(attempt + 1)}>Try again</Button>
          </div>
        </div>
      )}
      {description === undefined && error === undefined && (
        <p class="dim" role="status">
          Reading the inputs of the model. If it is not loaded, the server loads it first.
        </p>
      )}
      {description !== undefined && <Workbench description={description} />}
    </div>
  )
}

/** A model that loads on demand has a document with its inputs only after it was loaded. */
async function loadDescription(
  model: string,
  version: string | undefined,
  signal: AbortSignal,
): Promise<ModelDescription> {
  const path = pathOf('v2', 'models', model)
  const own = versionPath({ name: model, version })
  const metadata = await api.json(own, { signal })
  const document = await api.json(documentPath({ name: model, version }), { signal })
  const all = version === undefined ? metadata : await api.json(path, { signal })
  const { versions } = describeModel(all, document)
  return { ...describeModel(metadata, document, version), versions }
}

type Versioned = Pick<ModelDescription, 'name' | 'version'>

function versionPath({ name, version }: Versioned): string {
  const path = pathOf('v2', 'models', name)
  return version === undefined ? path : `${path}/${pathOf('versions', version)}`
}

function documentPath(description: Versioned): string {
  return `${versionPath(description)}/openapi.json`
}

function VersionPicker({ description }: { description: ModelDescription }): JSX.Element {
  const { name: model, version, versions } = description
  if (versions.length < 2 && version === undefined) {
    return <span class="dim small">version {versions[0] ?? ''}</span>
  }
  return (
    <select
      class="input version"
      aria-label="Version"
      value={version ?? ''}
      onChange={({ currentTarget: { value } }) => {
        location.hash = hashOf({ model, version: value === '' ? undefined : value })
      }}
    >
      <option value="">default version</option>
      {versions.map((each) => (
        <option key={each} value={each}>
          version {each}
        </option>
      ))}
    </select>
  )
}

/** What goes in and what comes out. */
function Signature({ description }: { description: ModelDescription }): JSX.Element {
  const { summary, inputs, outputs } = description
  return (
    <>
      <p class="dim">{summary}</p>
      {inputs.length > 0 && (
        <details class="signature">
          <summary>
            {inputs.length === 1 ? '1 input' : `${inputs.length} inputs`},{' '}
            {outputs.length === 1 ? '1 output' : `${outputs.length} outputs`}
          </summary>
          <dl>
            <Tensors title="Inputs" tensors={inputs} />
            <Tensors title="Outputs" tensors={outputs} />
          </dl>
          <a class="small" href={documentPath(description)}>
            OpenAPI document of this model
          </a>
        </details>
      )}
    </>
  )
}

function Tensors({ title, tensors }: { title: string; tensors: readonly Tensor[] }): JSX.Element {
  return (
    <>
      <dt>{title}</dt>
      {tensors.map(({ name, text }) => (
        <dd key={name} class="mono breakable">
          {name} <span class="dim">{text}</span>
        </dd>
      ))}
    </>
  )
}
