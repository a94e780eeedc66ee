import type { JSX } from 'preact'
import { Field } from '../../shared/components/field.tsx'

/** Parameters of a registration. Empty texts are not sent. */
export interface Registration {
  readonly model_name: string
  readonly model_version: string
  readonly initial_workers: string
  readonly batch_size: string
}

export const EMPTY: Registration = {
  model_name: '',
  model_version: '',
  initial_workers: '',
  batch_size: '',
}

/** The parameters that have a value. */
export function sentParameters(registration: Registration): [name: string, value: string][] {
  return Object.entries(registration)
    .map(([name, value]): [string, string] => [name, String(value).trim()])
    .filter(([, value]) => value !== '')
}

interface FieldsProps {
  readonly value: Registration
  readonly onChange: (value: Registration) => void
}

/** Fields that are the same for a file and for a path. */
export function RegisterFields({ value, onChange }: FieldsProps): JSX.Element {
  const input = (
    name: keyof Registration,
    label: string,
    hint: string,
    isNumber = false,
  ): JSX.Element => (
    <Field label={label} hint={hint}>
      {(ids) => (
        <input
          {...ids}
          class="input"
          inputmode={isNumber ? 'numeric' : 'text'}
          pattern={isNumber ? '[0-9]*' : undefined}
          autocomplete="off"
          value={value[name]}
          onInput={(event) => onChange({ ...value, [name]: event.currentTarget.value })}
        />
      )}
    </Field>
  )
  return (
    <div class="fields">
      {input('model_name', 'Name', 'Default: the name in the model, or its file name.')}
      {input('model_version', 'Version', 'Default: the version in the model.')}
      {input('initial_workers', 'Workers', 'Default: the setting of the server.', true)}
      {input('batch_size', 'Batch size', 'Default: the setting of the server.', true)}
    </div>
  )
}
