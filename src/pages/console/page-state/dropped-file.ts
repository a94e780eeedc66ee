import { signal } from '@preact/signals'
import { viewAddress } from '../logic/route.ts'
import { goTo } from './router.ts'

/** A model file that was dropped somewhere on the page and is not registered yet. */
export const droppedFile = signal<File | undefined>(undefined)
/** Whether a file is dragged over the page. */
export const isDragging = signal(false)

/** Takes files that are dropped anywhere on the page. Call it once. */
export function takeDroppedFiles(): void {
  addEventListener('dragover', (event) => {
    if (event.dataTransfer?.types.includes('Files') !== true) return
    event.preventDefault()
    isDragging.value = true
  })
  addEventListener('dragleave', (event) => {
    // Elements inside the page are left all the time; the page itself is left to nothing.
    if (event.relatedTarget === null) isDragging.value = false
  })
  addEventListener('drop', (event) => {
    isDragging.value = false
    const [file] = event.dataTransfer?.files ?? []
    if (file === undefined) return
    event.preventDefault()
    droppedFile.value = file
    goTo(viewAddress('register'))
  })
}
