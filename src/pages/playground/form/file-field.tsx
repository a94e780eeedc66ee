import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { IconButton } from '../../shared/components/button.tsx'
import { DropArea } from '../../shared/components/drop-area.tsx'
import { formatBytes } from '../../shared/format.ts'
import type { RequestForm } from '../model/description.ts'
import { fileType } from '../request/request.ts'
import type { DraftProps } from './draft-props.ts'

const IMAGES = 'image/*,.tif,.tiff,.avif,.bmp'
/** Bytes of a text file that are shown. */
const SHOWN_BYTES = 1500

/** A file as the body: dropped, or chosen. */
export function FileField({ description, draft, onDraft }: DraftProps): JSX.Element {
  const { form } = description
  const { file } = draft
  return (
    <>
      <DropArea
        label={form.kind === 'image' ? 'Image file' : 'File with the request'}
        accept={acceptOf(form)}
        onFile={(chosen) => onDraft({ ...draft, file: chosen })}
      >
        <p>{sentenceOf(form)}</p>
      </DropArea>
      {file !== undefined && (
        <div class="chosen">
          <div class="row">
            <strong class="breakable">{file.name}</strong>
            <span class="dim small">{formatBytes(file.size)}</span>
            <span class="push">
              <IconButton
                icon="close"
                label={`Remove ${file.name}`}
                onClick={() => onDraft({ ...draft, file: undefined })}
              />
            </span>
          </div>
          <Preview file={file} />
        </div>
      )}
    </>
  )
}

function acceptOf(form: RequestForm): string {
  if (form.kind === 'image') return IMAGES
  if (form.kind !== 'tensors') return ''
  const tables = form.acceptsCsv ? '.csv,' : ''
  return `${tables}.json,.ndjson,.jsonl,.npy,.npz,.parquet`
}

function sentenceOf(form: RequestForm): string {
  if (form.kind === 'image') return 'Drop an image here: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP.'
  if (form.kind !== 'tensors') return 'Drop a file here. It is sent as the body of the request.'
  return form.acceptsCsv
    ? 'Drop a table here: CSV, JSON, NumPy (.npy, .npz) or Parquet.'
    : 'Drop tensors here: NumPy (.npy, .npz) or JSON.'
}

/** The image, or the first lines of a text. */
function Preview({ file }: { file: File }): JSX.Element | null {
  const [url, setUrl] = useState<string>()
  const [isBroken, setIsBroken] = useState(false)
  const [text, setText] = useState<string>()
  const type = fileType(file.name)
  const isImage = type.startsWith('image/') || file.type.startsWith('image/')
  useEffect(() => {
    setIsBroken(false)
    setText(undefined)
    if (isImage) {
      const made = URL.createObjectURL(file)
      setUrl(made)
      return () => URL.revokeObjectURL(made)
    }
    if (/json|csv|text/.test(type)) void file.slice(0, SHOWN_BYTES).text().then(setText)
    return undefined
  }, [file])
  if (isImage && isBroken) {
    return <p class="dim small">This browser cannot show the file. The server may read it.</p>
  }
  if (isImage && url !== undefined) {
    return (
      <img
        class="preview"
        src={url}
        alt={`Preview of ${file.name}`}
        onError={() => setIsBroken(true)}
      />
    )
  }
  if (text === undefined) return null
  return (
    <pre class="log-lines" tabIndex={0} role="group" aria-label={`Beginning of ${file.name}`}>
      {file.size > SHOWN_BYTES ? `${text} …` : text}
    </pre>
  )
}
