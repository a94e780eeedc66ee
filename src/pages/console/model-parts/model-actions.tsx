import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { pathOf } from '../../shared/api-client.ts'
import { Button } from '../../shared/components/button.tsx'
import { Confirm, Dialog } from '../../shared/components/dialog.tsx'
import { Field } from '../../shared/components/field.tsx'
import { ErrorNotice } from '../../shared/components/notice.tsx'
import type { Version } from '../logic/live.ts'
import { viewAddress } from '../logic/route.ts'
import { client } from '../page-state/client.ts'
import { say } from '../page-state/message.ts'
import { goTo } from '../page-state/router.ts'

interface ActionProps {
  readonly version: Version
  /** All versions of the model. */
  readonly versions: readonly Version[]
}

interface DialogProps extends ActionProps {
  readonly onClose: () => void
}

/** Buttons that change a version. Each opens a dialog first. */
export function ModelActions({ version, versions }: ActionProps): JSX.Element {
  const [open, setOpen] = useState<'scale' | 'default' | 'unload'>()
  const props = { version, versions, onClose: () => setOpen(undefined) }
  return (
    <div class="row">
      <Button onClick={() => setOpen('scale')}>Scale…</Button>
      {!version.isDefault && <Button onClick={() => setOpen('default')}>Make default…</Button>}
      <Button kind="danger" icon="trash" onClick={() => setOpen('unload')}>
        Unload…
      </Button>
      {open === 'scale' && <ScaleDialog {...props} />}
      {open === 'default' && <DefaultDialog {...props} />}
      {open === 'unload' && <UnloadDialog {...props} />}
    </div>
  )
}

/** Runs a request and keeps its error, so that the dialog can show it. */
function useAction(
  work: () => Promise<unknown>,
  onDone: () => void,
): { isBusy: boolean; error: unknown; run: () => void } {
  const [isBusy, setIsBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const run = (): void => {
    setIsBusy(true)
    setError(undefined)
    work()
      .then(onDone, setError)
      .finally(() => setIsBusy(false))
  }
  return { isBusy, error, run }
}

function ScaleDialog({ version, onClose }: DialogProps): JSX.Element {
  const { name } = version
  const [least, setLeast] = useState(String(version.minWorkers))
  const { isBusy, error, run } = useAction(
    () =>
      client.json(pathOf('models', name, version.version), {
        method: 'PUT',
        query: { min_worker: least, max_worker: least, synchronous: true },
      }),
    () => {
      say(`${name} now has ${least} ${least === '1' ? 'worker' : 'workers'}.`)
      onClose()
    },
  )
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" isDisabled={isBusy || !/^\d+$/.test(least)} onClick={run}>
        {isBusy ? 'Scaling…' : 'Scale'}
      </Button>
    </>
  )
  return (
    <Dialog title={`Scale ${name} ${version.version}`} onClose={onClose} actions={actions}>
      <Field
        label="Number of workers"
        hint="Workers that are removed finish their requests first. With 0 workers, requests get status 503."
      >
        {(ids) => (
          <input
            {...ids}
            class="input"
            type="number"
            min={0}
            step={1}
            value={least}
            data-first=""
            onInput={(event) => setLeast(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter' && !isBusy && /^\d+$/.test(least)) run()
            }}
          />
        )}
      </Field>
      {error !== undefined && <ErrorNotice error={error} />}
    </Dialog>
  )
}

function DefaultDialog({ version, versions, onClose }: DialogProps): JSX.Element {
  const { name } = version
  const before = versions.find(({ isDefault }) => isDefault)
  const { isBusy, error, run } = useAction(
    () => client.json(`${pathOf('models', name, version.version)}/set-default`, { method: 'PUT' }),
    () => {
      say(`Version ${version.version} of ${name} is now the default.`)
      onClose()
    },
  )
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" isDisabled={isBusy} onClick={run}>
        Make default
      </Button>
    </>
  )
  return (
    <Dialog
      title={`Make ${version.version} the default of ${name}?`}
      onClose={onClose}
      actions={actions}
    >
      <p>
        {`Requests that name no version go to ${version.version} from then on`}
        {before !== undefined && `, not to ${before.version}`}.
      </p>
      {error !== undefined && <ErrorNotice error={error} />}
    </Dialog>
  )
}

function UnloadDialog({ version, versions, onClose }: DialogProps): JSX.Element {
  const { name } = version
  // The server removes a default version only together with the others.
  const isAll = version.isDefault
  const path = isAll ? pathOf('models', name) : pathOf('models', name, version.version)
  const { isBusy, error, run } = useAction(
    () => client.json(path, { method: 'DELETE' }),
    () => {
      say(isAll ? `${name} was unloaded.` : `Version ${version.version} of ${name} was unloaded.`)
      onClose()
      goTo(viewAddress('models'))
    },
  )
  const count = versions.length
  const title =
    isAll && count > 1
      ? `Unload all ${String(count)} versions of ${name}?`
      : `Unload ${name} ${version.version}?`
  return (
    <Confirm
      title={title}
      action={isBusy ? 'Unloading…' : 'Unload'}
      isBusy={isBusy}
      onConfirm={run}
      onClose={onClose}
    >
      {isAll && count > 1 && (
        <p>
          This is the default version. To unload it alone, make another version the default first.
        </p>
      )}
      <p>
        Accepted requests are finished. Then the workers stop, and requests for the model get status
        404. A file that was uploaded for it is deleted.
      </p>
      {error !== undefined && <ErrorNotice error={error} />}
    </Confirm>
  )
}
