import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { Field } from '../../shared/components/field.tsx'
import { ErrorNotice } from '../../shared/components/notice.tsx'
import { client } from '../page-state/client.ts'
import { EMPTY, RegisterFields, sentParameters } from './fields.tsx'
import { RegisterResult } from './result.tsx'
import { statusOf } from './upload.tsx'

/** Registers a model that the server can find itself. */
export function RegisterPath(): JSX.Element {
  const [url, setUrl] = useState('')
  const [registration, setRegistration] = useState(EMPTY)
  const [isBusy, setIsBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const [result, setResult] = useState('')
  const register = (): void => {
    setIsBusy(true)
    setError(undefined)
    setResult('')
    client
      .json('models', {
        method: 'POST',
        json: { url: url.trim(), ...Object.fromEntries(sentParameters(registration)) },
      })
      .then((body) => setResult(statusOf(body)), setError)
      .finally(() => setIsBusy(false))
  }
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault()
        if (!isBusy) register()
      }}
    >
      <Field
        label="Model"
        hint="A file or folder in the model store, an http(s) URL of an allowed origin, or an absolute path if the setting allowLocalPaths is on."
      >
        {(ids) => (
          <input
            {...ids}
            class="input"
            required
            autocomplete="off"
            spellcheck={false}
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
        )}
      </Field>
      <RegisterFields value={registration} onChange={setRegistration} />
      {error !== undefined && <ErrorNotice error={error} />}
      {result !== '' && <RegisterResult text={result} />}
      <div class="row">
        <Button kind="primary" type="submit" isDisabled={isBusy}>
          {isBusy ? 'Registering…' : 'Register'}
        </Button>
      </div>
    </form>
  )
}
