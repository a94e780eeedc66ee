import type { ComponentChildren, JSX } from 'preact'
import { useId, useRef, useState } from 'preact/hooks'
import { Button } from './button.tsx'

interface DropAreaProps {
  /** Name of the control, for screen readers. */
  readonly label: string
  /** File name endings or media types, as in `<input accept>`. */
  readonly accept: string
  readonly onFile: (file: File) => void
  readonly children: ComponentChildren
}

/** Takes a file that is dropped, or chosen with the button. */
export function DropArea({ label, accept, onFile, children }: DropAreaProps): JSX.Element {
  const id = useId()
  const input = useRef<HTMLInputElement>(null)
  const [isOver, setIsOver] = useState(false)
  const take = (files: FileList | null | undefined): void => {
    const [file] = files ?? []
    if (file !== undefined) onFile(file)
  }
  return (
    <div
      class={isOver ? 'drop-area is-over' : 'drop-area'}
      onDragOver={(event) => {
        event.preventDefault()
        setIsOver(true)
      }}
      onDragLeave={() => setIsOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setIsOver(false)
        take(event.dataTransfer?.files)
      }}
    >
      {children}
      <Button icon="upload" onClick={() => input.current?.click()}>
        Choose a file
      </Button>
      <label class="only-read" for={id}>
        {label}
      </label>
      <input
        ref={input}
        id={id}
        class="only-read"
        type="file"
        accept={accept}
        tabIndex={-1}
        onChange={(event) => {
          take(event.currentTarget.files)
          // The same file can be chosen again.
          event.currentTarget.value = ''
        }}
      />
    </div>
  )
}
