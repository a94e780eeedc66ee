import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { DropArea } from '../../shared/components/drop-area.tsx'
import { ErrorNotice } from '../../shared/components/notice.tsx'
import { ProgressBar } from '../../shared/components/progress-bar.tsx'
import { formatBytes } from '../../shared/format.ts'
import { client } from '../page-state/client.ts'
import { droppedFile } from '../page-state/dropped-file.ts'
import { EMPTY, RegisterFields, sentParameters } from './fields.tsx'
import { RegisterResult } from './result.tsx'

const ACCEPTED = '.onnx,.mar,.zip,.tar.gz,.tgz'

interface Progress {
  readonly sent: number
  readonly total: number
}

/** Uploads a model file and registers it. */
export function RegisterUpload(): JSX.Element {
  const file = droppedFile.value
  const [registration, setRegistration] = useState(EMPTY)
  const [progress, setProgress] = useState<Progress>()
  const [error, setError] = useState<unknown>()
  const [result, setResult] = useState('')
  const stop = useRef<AbortController | undefined>(undefined)

  const choose = (chosen: File | undefined): void => {
    droppedFile.value = chosen
    setError(undefined)
    setResult('')
  }
  const upload = (chosen: File): void => {
    const form = new FormData()
    // The server reads the parameters before the file arrives.
    for (const [name, value] of sentParameters(registration)) form.append(name, value)
    form.append('model', chosen, chosen.name)
    stop.current = new AbortController()
    setError(undefined)
    setResult('')
    setProgress({ sent: 0, total: chosen.size })
    const report = (sent: number, total: number): void => setProgress({ sent, total })
    client
      .upload('models/upload', form, report, stop.current.signal)
      .then((body) => {
        setResult(statusOf(body))
        droppedFile.value = undefined
        setRegistration(EMPTY)
      }, setError)
      .finally(() => setProgress(undefined))
  }

  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault()
        if (file !== undefined && progress === undefined) upload(file)
      }}
    >
      {file === undefined ? (
        <DropArea label="Model file" accept={ACCEPTED} onFile={choose}>
          <p>
            Drop a model here: an <code>.onnx</code> file, or an archive (<code>.mar</code>,{' '}
            <code>.zip</code>, <code>.tar.gz</code>).
          </p>
        </DropArea>
      ) : (
        <div class="chosen-file row">
          <strong class="breakable">{file.name}</strong>
          <span class="dim">{formatBytes(file.size)}</span>
          {progress === undefined && (
            <span class="push">
              <Button kind="quiet" icon="close" onClick={() => choose(undefined)}>
                Remove
              </Button>
            </span>
          )}
        </div>
      )}
      <RegisterFields value={registration} onChange={setRegistration} />
      {progress !== undefined && <UploadProgress progress={progress} />}
      {error !== undefined && <ErrorNotice error={error} />}
      {result !== '' && <RegisterResult text={result} />}
      <div class="row">
        <Button
          kind="primary"
          type="submit"
          isDisabled={file === undefined || progress !== undefined}
        >
          Upload and register
        </Button>
        {progress !== undefined && <Button onClick={() => stop.current?.abort()}>Cancel</Button>}
      </div>
    </form>
  )
}

function UploadProgress({ progress: { sent, total } }: { progress: Progress }): JSX.Element {
  const share = total === 0 ? 0 : sent / total
  return (
    <div>
      <ProgressBar label="Upload" share={share} />
      <p class="small dim">
        {share < 1
          ? `${formatBytes(sent)} of ${formatBytes(total)}`
          : 'The file has arrived. The workers load the model.'}
      </p>
    </div>
  )
}

/** The server's text about a registration. */
export function statusOf(body: unknown): string {
  const hasStatus = typeof body === 'object' && body !== null && 'status' in body
  return hasStatus ? String(body.status) : 'Registered.'
}
