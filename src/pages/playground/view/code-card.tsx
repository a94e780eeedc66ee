import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { Tabs } from '../../shared/components/tabs.tsx'
import type { ModelDescription } from '../model/description.ts'
import { curlCommand } from '../request/curl.ts'
import { openaiProgram } from '../request/openai.ts'
import { pythonProgram } from '../request/python.ts'
import { TOKEN_VARIABLE, shownBody } from '../request/request.ts'
import type { ModelRequest } from '../request/request.ts'
import { tritonProgram } from '../request/tritonclient.ts'
import { typescriptModule } from '../request/typescript.ts'
import { CopyText } from './copy-text.tsx'
import { SaveLink } from './save-link.tsx'

type Language = 'curl' | 'python' | 'tritonclient' | 'openai' | 'typescript'

const LABELS: Readonly<Record<Language, string>> = {
  curl: 'curl',
  python: 'Python',
  tritonclient: 'tritonclient',
  openai: 'openai',
  typescript: 'TypeScript',
}

const NEEDS: Readonly<Record<Language, string>> = {
  curl: 'For a shell of Linux or macOS.',
  python: 'Needs: pip install requests',
  tritonclient: 'Needs: pip install tritonclient[http]. The Open Inference Protocol.',
  openai: 'Needs: pip install openai. The API of OpenAI.',
  typescript: 'For Node 20 or newer. In a browser, the function fetch is the same.',
}

interface CodeCardProps {
  /** `undefined` while the form is not valid. */
  readonly request: ModelRequest | undefined
  readonly description: ModelDescription
}

/** The request as code. */
export function CodeCard({ request, description }: CodeCardProps): JSX.Element {
  const [chosen, setChosen] = useState<Language>('curl')
  const shown = useRef<HTMLPreElement>(null)
  const programs =
    request === undefined ? new Map<Language, string>() : programsOf(request, description)
  const selected = programs.has(chosen) ? chosen : 'curl'
  const program = programs.get(selected)
  return (
    <section class="card code" aria-labelledby="code-title">
      <div class="card-head">
        <h2 id="code-title">The same request as code</h2>
      </div>
      {request === undefined || program === undefined ? (
        <p class="card-body dim">Correct the form to see the code.</p>
      ) : (
        <Tabs
          label="Language"
          tabs={[...programs.keys()].map((name) => ({ name, label: LABELS[name] }))}
          selected={selected}
          onSelect={setChosen}
        >
          <div class="card-body stack">
            <pre
              ref={shown}
              class="program"
              tabIndex={0}
              role="group"
              aria-label={`${LABELS[selected]} code`}
            >
              {program}
            </pre>
            <div class="row">
              <CopyText text={program} source={shown} />
              <Preparation request={request} />
              <span class="field-hint">{NEEDS[selected]}</span>
            </div>
          </div>
        </Tabs>
      )}
    </section>
  )
}

/** What has to be done before the code can be run. */
function Preparation({ request }: { request: ModelRequest }): JSX.Element {
  const body = shownBody(request)
  return (
    <>
      {body.kind === 'file' && body.isSaved && request.body.kind !== 'file' && (
        <SaveLink content={new Blob([request.body.text])} name={body.name} />
      )}
      {body.kind === 'file' && (
        <span class="field-hint">Run it in the folder with the file {body.name}.</span>
      )}
      {request.hasToken && (
        <span class="field-hint">
          Set the environment variable {TOKEN_VARIABLE} to your token first.
        </span>
      )}
    </>
  )
}

function programsOf(
  request: ModelRequest,
  { form, inputs }: ModelDescription,
): Map<Language, string> {
  const programs = new Map<Language, string>([
    ['curl', curlCommand(request)],
    ['python', pythonProgram(request)],
  ])
  const triton = form.kind === 'tensors' ? tritonProgram(request, inputs) : undefined
  if (triton !== undefined) programs.set('tritonclient', triton)
  const isEmbedding =
    form.kind === 'text' && form.variants.some(({ label }) => label === 'Similarity')
  const openai = isEmbedding ? openaiProgram(request) : undefined
  if (openai !== undefined) programs.set('openai', openai)
  programs.set('typescript', typescriptModule(request))
  return programs
}
