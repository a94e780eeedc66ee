/** Triton's model repository over gRPC. It is open to clients only with `exposeRepository`. */
import { ServerError } from '../../../errors.ts'
import { MessageReader } from '../../../formats/proto-message.ts'
import { checkModel, mayUse } from '../../http/access/caller.ts'
import type { RouteContext } from '../../route-context.ts'
import { encodeMessage } from '../messages/encode.ts'
import { REPOSITORY_INDEX } from '../messages/schemas.ts'
import type { Answer } from './metadata.ts'

const NO_FIELDS = new Uint8Array()
const CLOSED =
  'The model repository is served on the management listener only. Start the server with --expose-repository to serve it here as well.'

/** Field numbers of the requests, of an entry of a map, and of `ModelRepositoryParameter`. */
const INDEX = { ready: 2 } as const
const CHANGE = { repository: 1, model: 2, parameters: 3 } as const
const ENTRY = { key: 1, value: 2 } as const
const TEXT = 3

/** Returns the methods by name. */
export function repositoryMethods({
  config,
  repository,
}: RouteContext): Readonly<Record<string, Answer>> {
  if (!config.exposeRepository) {
    const refuse: Answer = () => {
      throw new ServerError('ServiceUnavailableException', CLOSED)
    }
    return { RepositoryIndex: refuse, RepositoryModelLoad: refuse, RepositoryModelUnload: refuse }
  }
  return {
    RepositoryIndex: async (bytes, call) => {
      const all = await repository.index(wantsReady(bytes))
      const models = all.filter(({ name }) => mayUse(call, name))
      return encodeMessage(REPOSITORY_INDEX, { models })
    },
    RepositoryModelLoad: async (bytes, call) => {
      const { model, parameters } = changeIn(bytes)
      checkModel(call, model)
      await repository.load(model, configIn(model, parameters, config.lenientParameters))
      return NO_FIELDS
    },
    RepositoryModelUnload: async (bytes, call) => {
      const { model } = changeIn(bytes)
      checkModel(call, model)
      await repository.unload(model)
      return NO_FIELDS
    },
  }
}

function wantsReady(bytes: Buffer): boolean {
  const message = new MessageReader(bytes)
  let ready = false
  while (message.next()) if (message.number === INDEX.ready) ready = message.flag()
  return ready
}

interface Change {
  readonly model: string
  readonly parameters: ReadonlyMap<string, MessageReader>
}

function changeIn(bytes: Buffer): Change {
  const message = new MessageReader(bytes)
  let [model, repository] = ['', '']
  const parameters = new Map<string, MessageReader>()
  while (message.next()) {
    if (message.number === CHANGE.model) model = message.text()
    else if (message.number === CHANGE.repository) repository = message.text()
    else if (message.number === CHANGE.parameters) addEntry(message.message(), parameters)
  }
  // The protocol of KServe has the name of the model in the field of Triton's repository.
  return { model: model || repository, parameters }
}

function addEntry(entry: MessageReader, into: Map<string, MessageReader>): void {
  let name = ''
  let value = new MessageReader(Buffer.alloc(0))
  while (entry.next()) {
    if (entry.number === ENTRY.key) name = entry.text()
    else if (entry.number === ENTRY.value) value = entry.message()
  }
  into.set(name, value)
}

/** The only parameter of a load. */
function configIn(
  model: string,
  parameters: Change['parameters'],
  isLenient: boolean,
): string | undefined {
  let config: string | undefined
  for (const [name, value] of parameters) {
    if (name === 'config') {
      while (value.next()) if (value.number === TEXT) config = value.text()
    } else if (!isLenient) throw refused(model, name)
  }
  return config
}

function refused(model: string, parameter: string): ServerError {
  const reason = parameter.startsWith('file:')
    ? 'a load request cannot contain model files. Put the files into the model store'
    : 'the only parameter is "config"'
  const shown = JSON.stringify(parameter.slice(0, 100))
  return new ServerError(
    'BadRequestException',
    `failed to load '${model}': Parameter ${shown} is not supported: ${reason}.`,
  )
}
