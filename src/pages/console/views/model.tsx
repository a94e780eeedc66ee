import type { JSX } from 'preact'
import { pathOf } from '../../shared/api-client.ts'
import { Empty, Notice } from '../../shared/components/notice.tsx'
import type { Live, Version } from '../logic/live.ts'
import { viewAddress } from '../logic/route.ts'
import { versionOf } from '../model-parts/model-data.ts'
import type { VersionDescription } from '../model-parts/model-data.ts'
import { FailedLoads } from '../parts/failed-loads.tsx'
import { useLoaded } from '../parts/use-loaded.ts'
import { ModelContent } from './model-content.tsx'

interface ModelViewProps {
  readonly now: Live
  readonly name: string
  /** The default version if it is absent. */
  readonly version: string | undefined
}

/** One model, from the live data if it is there. */
export function ModelView({ now, name, version }: ModelViewProps): JSX.Element {
  const versions = now.versions.filter((each) => each.name === name)
  const shown = chosenOf(versions, version)
  if (shown !== undefined)
    return <ModelContent now={now} versions={versions} shown={shown} isLive />
  const isCut = now.server.totalVersions > now.versions.length
  return isCut ? (
    <DistantModel now={now} name={name} version={version} />
  ) : (
    <NoModel now={now} name={name} />
  )
}

/** A model of a server with so many that the live data does not have all. */
function DistantModel({ now, name, version }: ModelViewProps): JSX.Element {
  const path = pathOf('models', name)
  const all = useLoaded<readonly VersionDescription[]>(`${path}/all`)
  const standard = useLoaded<VersionDescription>(path)
  if (all.error !== undefined) return <NoModel now={now} name={name} />
  const versions = (all.data ?? []).map((each) =>
    versionOf(each, standard.data?.modelVersion ?? each.modelVersion),
  )
  const shown = chosenOf(versions, version)
  if (shown === undefined || standard.data === undefined) return <p class="dim">Loading…</p>
  return (
    <>
      <Notice tone="info">
        The model is not among those that this page follows, because it has no worker and no
        request. The data below is that of the moment when you opened it.
      </Notice>
      <ModelContent now={now} versions={versions} shown={shown} isLive={false} />
    </>
  )
}

function NoModel({ now, name }: { now: Live; name: string }): JSX.Element {
  const failed = now.failed.filter(({ modelName }) => modelName === name)
  return (
    <>
      <FailedLoads failed={failed} />
      <section class="card">
        <Empty title={failed.length > 0 ? 'The model is not served.' : 'There is no such model.'}>
          {now.loading.some(({ modelName }) => modelName === name) && (
            <p class="breakable">{name} is being loaded.</p>
          )}
          <a href={viewAddress('models')}>All models</a>
        </Empty>
      </section>
    </>
  )
}

function chosenOf(versions: readonly Version[], wanted: string | undefined): Version | undefined {
  return (
    versions.find(({ version }) => version === wanted) ??
    versions.find(({ isDefault }) => isDefault) ??
    versions[0]
  )
}
