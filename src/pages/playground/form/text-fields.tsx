import type { JSX } from 'preact'
import { Field } from '../../shared/components/field.tsx'
import type { TextField } from '../model/text-form.ts'
import type { DraftProps } from './draft-props.ts'

/** The texts of a request, and its options. */
export function TextFields({ description, draft, onDraft }: DraftProps): JSX.Element {
  const { form } = description
  const variants = form.kind === 'text' ? form.variants : []
  const variant = variants[draft.variant]
  const control = (field: TextField): JSX.Element => (
    <TextControl
      key={`${draft.variant} ${field.name}`}
      field={field}
      text={draft.texts.get(field.name) ?? field.initial}
      onText={(text) =>
        onDraft({
          ...draft,
          json: undefined,
          texts: new Map(draft.texts).set(field.name, text),
        })
      }
    />
  )
  return (
    <>
      {variants.length > 1 && (
        <Field label="Task">
          {(ids) => (
            <select
              {...ids}
              class="input"
              value={String(draft.variant)}
              onChange={({ currentTarget }) =>
                onDraft({ ...draft, json: undefined, variant: Number(currentTarget.value) })
              }
            >
              {variants.map(({ label }, index) => (
                <option key={label} value={String(index)}>
                  {label}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {variant?.fields.map(control)}
      {variant !== undefined && variant.options.length > 0 && (
        <details class="options">
          <summary>Options</summary>
          <div class="option-fields">{variant.options.map(control)}</div>
        </details>
      )}
    </>
  )
}

interface TextControlProps {
  readonly field: TextField
  readonly text: string
  readonly onText: (text: string) => void
}

function TextControl({ field, text, onText }: TextControlProps): JSX.Element {
  const { label, hint, kind, name, choices = [] } = field
  return (
    <Field label={label} {...(hint !== undefined && { hint })}>
      {(ids) => {
        switch (kind) {
          case 'choice':
            return (
              <select
                {...ids}
                class="input"
                value={text}
                onChange={(event) => onText(event.currentTarget.value)}
              >
                <option value="">default</option>
                {choices.map((choice) => (
                  <option key={choice} value={choice}>
                    {String(JSON.parse(choice))}
                  </option>
                ))}
              </select>
            )
          case 'number':
            return (
              <input
                {...ids}
                class="input mono"
                inputMode="decimal"
                autocomplete="off"
                placeholder="default"
                value={text}
                onInput={(event) => onText(event.currentTarget.value)}
              />
            )
          default:
            return (
              <textarea
                {...ids}
                class="input"
                rows={rowsOf(field, name === 'context')}
                value={text}
                onInput={(event) => onText(event.currentTarget.value)}
              />
            )
        }
      }}
    </Field>
  )
}

function rowsOf({ kind, initial }: TextField, isLong: boolean): number {
  if (isLong) return 6
  if (initial === '') return 1
  return kind === 'lines' ? 4 : 3
}
