import type { JSX } from 'preact'
import { Field } from '../../shared/components/field.tsx'
import { formatCount } from '../../shared/format.ts'
import type { Tensor } from '../model/description.ts'
import { FILLS, gridOf, tensorProblem } from '../model/tensor-values.ts'
import type { Fill, TensorValue } from '../model/tensor-values.ts'
import type { DraftProps } from './draft-props.ts'
import { Grid } from './grid.tsx'

/** One field for each input tensor. */
export function TensorFields({ description, draft, onDraft }: DraftProps): JSX.Element {
  const { form, inputs } = description
  const columns = form.kind === 'tensors' && inputs.length === 1 ? form.columns : undefined
  return (
    <>
      {inputs.map((tensor, index) => {
        const value = draft.tensors[index]
        if (value === undefined) return undefined
        return (
          <TensorField
            key={tensor.name}
            tensor={tensor}
            value={value}
            columns={columns}
            onValue={(next) =>
              onDraft({
                ...draft,
                json: undefined,
                csv: undefined,
                tensors: draft.tensors.with(index, next),
              })
            }
          />
        )
      })}
    </>
  )
}

interface TensorFieldProps {
  readonly tensor: Tensor
  readonly value: TensorValue
  readonly columns: readonly string[] | undefined
  readonly onValue: (value: TensorValue) => void
}

function TensorField({ tensor, value, columns, onValue }: TensorFieldProps): JSX.Element {
  const form = gridOf(tensor)
  if (value.kind === 'grid' && form !== undefined) {
    return (
      <Grid
        tensor={tensor}
        form={form}
        rows={value.rows}
        columns={columns}
        onRows={(rows) => onValue({ kind: 'grid', rows })}
      />
    )
  }
  if (value.kind === 'generated') {
    return <GeneratedField tensor={tensor} value={value} onValue={onValue} />
  }
  return (
    <Field
      label={tensor.name}
      hint={`${tensor.text}, as JSON`}
      error={tensorProblem(tensor, value)}
    >
      {(ids) => (
        <textarea
          {...ids}
          class="input mono"
          rows={5}
          spellcheck={false}
          value={value.kind === 'json' ? value.text : ''}
          onInput={({ currentTarget }) => onValue({ kind: 'json', text: currentTarget.value })}
        />
      )}
    </Field>
  )
}

const FILL_LABELS: Readonly<Record<Fill, string>> = {
  random: 'random values',
  zeros: 'zeros',
  ones: 'ones',
}

interface GeneratedFieldProps {
  readonly tensor: Tensor
  readonly value: Extract<TensorValue, { kind: 'generated' }>
  readonly onValue: (value: TensorValue) => void
}

/** A tensor with too many elements to enter them. */
function GeneratedField({ tensor, value, onValue }: GeneratedFieldProps): JSX.Element {
  const elements = value.sizes.reduce((product, size) => product * size, 1)
  return (
    <Field
      label={tensor.name}
      hint={`${tensor.text}: ${formatCount(elements)} values. Send a .npy file to use your own.`}
    >
      {(ids) => (
        <select
          {...ids}
          class="input"
          value={value.fill}
          onChange={({ currentTarget }) => {
            const fill = FILLS.find((name) => name === currentTarget.value) ?? 'random'
            onValue({ ...value, fill })
          }}
        >
          {FILLS.map((fill) => (
            <option key={fill} value={fill}>
              {FILL_LABELS[fill]}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}
