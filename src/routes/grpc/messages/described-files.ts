import { MessageReader } from '../../../formats/proto-message.ts'

/** A `.proto` file that the reflection service knows. */
export interface DescribedFile {
  readonly name: string
  /** Name of its only service. */
  readonly service: string
  /** Names of its service, messages and enumerations, without those inside of messages. */
  readonly symbols: readonly string[]
  /** The `FileDescriptorProto`. */
  readonly descriptor: Buffer
}

/** Field numbers of `FileDescriptorProto`, and of the descriptors in it. */
const FILE = { package: 2, messages: 4, enums: 5, services: 6 } as const
const NAME = 1

let files: Promise<readonly DescribedFile[]> | undefined

/** The files of all services. Few clients ask for them, so they are loaded with the first one. */
export function describedFiles(): Promise<readonly DescribedFile[]> {
  return (files ??= readFiles())
}

async function readFiles(): Promise<readonly DescribedFile[]> {
  const { DESCRIPTORS } = await import('./descriptors.ts')
  return DESCRIPTORS.map(({ name, descriptor }) =>
    readFile(name, Buffer.from(descriptor, 'base64')),
  )
}

function readFile(name: string, descriptor: Buffer): DescribedFile {
  const message = new MessageReader(descriptor)
  let [scope, service] = ['', '']
  const symbols: string[] = []
  while (message.next()) {
    if (message.number === FILE.package) scope = message.text()
    else if (message.number === FILE.messages || message.number === FILE.enums)
      symbols.push(nameIn(message.message()))
    else if (message.number === FILE.services) {
      service = nameIn(message.message())
      symbols.push(service)
    }
  }
  return {
    name,
    service: `${scope}.${service}`,
    symbols: symbols.map((symbol) => `${scope}.${symbol}`),
    descriptor,
  }
}

function nameIn(descriptor: MessageReader): string {
  let name = ''
  while (descriptor.next()) if (descriptor.number === NAME) name = descriptor.text()
  return name
}
