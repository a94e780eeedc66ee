import type { JSX } from 'preact'
import { Button } from '../../shared/components/button.tsx'
import { Tabs } from '../../shared/components/tabs.tsx'
import { csvText, jsonProblem, jsonText, modesOf } from '../model/draft.ts'
import type { Mode } from '../model/draft.ts'
import type { DraftProps } from './draft-props.ts'
import { FileField } from './file-field.tsx'
import { TensorFields } from './tensor-fields.tsx'
import { TextArea } from './text-area.tsx'
import { TextFields } from './text-fields.tsx'

const MODE_LABELS: Readonly<Record<Mode, string>> = {
  fields: 'Form',
  json: 'JSON',
  csv: 'CSV',
  plain: 'Text',
  file: 'File',
}

interface RequestCardProps extends DraftProps {
  /** Whether the form is complete. */
  readonly canSend: boolean
  readonly isSending: boolean
  readonly onSend: () => void
  readonly onCancel: () => void
}

/** The form of the request. */
export function RequestCard(props: RequestCardProps): JSX.Element {
  const { description, draft, onDraft, canSend, isSending, onSend, onCancel } = props
  const modes = modesOf(description.form)
  return (
    <section class="card request" aria-labelledby="request-title">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          onSend()
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault()
            onSend()
          }
        }}
      >
        <div class="card-head">
          <h2 id="request-title">Request</h2>
        </div>
        {modes.length > 1 ? (
          <Tabs
            label="Form of the request"
            tabs={modes.map((name) => ({ name, label: MODE_LABELS[name] }))}
            selected={draft.mode}
            onSelect={(mode) => onDraft({ ...draft, mode })}
          >
            <Body {...{ description, draft, onDraft }} />
          </Tabs>
        ) : (
          <Body {...{ description, draft, onDraft }} />
        )}
        <div class="card-foot">
          <Button kind="primary" type="submit" isDisabled={!canSend || isSending}>
            {isSending ? 'Sending …' : 'Send'}
          </Button>
          {isSending && <Button onClick={onCancel}>Cancel</Button>}
          <span class="field-hint push shortcut">
            <kbd>Ctrl</kbd> + <kbd>Enter</kbd>
          </span>
        </div>
      </form>
    </section>
  )
}

function Body({ description, draft, onDraft }: DraftProps): JSX.Element {
  return (
    <div class="card-body stack">
      <Controls {...{ description, draft, onDraft }} />
    </div>
  )
}

function Controls({ description, draft, onDraft }: DraftProps): JSX.Element {
  switch (draft.mode) {
    case 'fields':
      return description.form.kind === 'text' ? (
        <TextFields {...{ description, draft, onDraft }} />
      ) : (
        <TensorFields {...{ description, draft, onDraft }} />
      )
    case 'file':
      return <FileField {...{ description, draft, onDraft }} />
    case 'json': {
      const text = jsonText(draft, description)
      return (
        <TextArea
          label="Body, as JSON"
          hint={jsonProblem(text) ?? 'The body is sent as it is.'}
          text={text}
          isCode
          onText={(json) => onDraft({ ...draft, json })}
        />
      )
    }
    case 'csv':
      return (
        <TextArea
          label="Rows, as CSV"
          hint="The first line has the names of the columns, if the columns have names."
          text={csvText(draft, description)}
          isCode
          onText={(csv) => onDraft({ ...draft, csv })}
        />
      )
    case 'plain':
      return (
        <TextArea
          label="Body, as text"
          text={draft.plain}
          onText={(plain) => onDraft({ ...draft, plain })}
        />
      )
  }
}
