import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Tabs } from '../../shared/components/tabs.tsx'
import type { Live } from '../logic/live.ts'
import { droppedFile } from '../page-state/dropped-file.ts'
import { RunningWork } from '../parts/running-work.tsx'
import { RegisterPath } from '../registration/path.tsx'
import { RegisterUpload } from '../registration/upload.tsx'

const TABS = [
  { name: 'upload', label: 'Upload a file' },
  { name: 'path', label: 'Name, path or URL' },
] as const

/** Registers a model. */
export function Register({ now }: { now: Live }): JSX.Element {
  const [tab, setTab] = useState<'upload' | 'path'>('upload')
  const selected = droppedFile.value === undefined ? tab : 'upload'
  return (
    <>
      <section class="card narrow-card">
        <Tabs label="Where the model is" tabs={TABS} selected={selected} onSelect={setTab}>
          <div class="card-body">
            {selected === 'upload' ? <RegisterUpload /> : <RegisterPath />}
          </div>
        </Tabs>
      </section>
      <RunningWork now={now} />
    </>
  )
}
