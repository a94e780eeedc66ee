import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { Button, IconButton } from './button.tsx'

interface DialogProps {
  readonly title: string
  /** Called when the reader closes it. The owner then removes it from the page. */
  readonly onClose: () => void
  readonly children: ComponentChildren
  /** Buttons at the bottom. */
  readonly actions?: ComponentChildren
}

/**
 * A dialog, open while it is in the page. The element with `data-first` gets the focus. The browser
 * keeps the focus inside and closes the dialog with the Escape key.
 */
export function Dialog({ title, onClose, children, actions }: DialogProps): JSX.Element {
  const titleId = useId()
  const element = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const dialog = element.current
    const opener = document.activeElement
    dialog?.showModal()
    // The attribute `autofocus` is only for elements of the first document.
    dialog?.querySelector<HTMLElement>('[data-first]')?.focus()
    return () => {
      dialog?.close()
      // After the removal from the page the browser does not return the focus by itself.
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  return (
    <dialog
      ref={element}
      class="dialog"
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
    >
      <div class="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <IconButton icon="close" label="Close" onClick={onClose} />
      </div>
      <div class="dialog-body">{children}</div>
      {actions !== undefined && <div class="dialog-foot">{actions}</div>}
    </dialog>
  )
}

interface ConfirmProps {
  readonly title: string
  /** Text of the button that does it, a verb: `Unload`. */
  readonly action: string
  readonly isBusy?: boolean
  readonly onConfirm: () => void
  readonly onClose: () => void
  readonly children: ComponentChildren
}

/** Asks before something is destroyed. The focus is on the button that changes nothing. */
export function Confirm(props: ConfirmProps): JSX.Element {
  const { title, action, isBusy = false, onConfirm, onClose, children } = props
  const actions = (
    <>
      <Button isFirst onClick={onClose}>
        Cancel
      </Button>
      <Button kind="danger solid" isDisabled={isBusy} onClick={onConfirm}>
        {action}
      </Button>
    </>
  )
  return (
    <Dialog title={title} onClose={onClose} actions={actions}>
      {children}
    </Dialog>
  )
}
