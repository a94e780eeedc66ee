/**
 * A model with a Python handler, as an archive of MMS or TorchServe. The handler does what each
 * request asks.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { temporaryFolder } from './server.ts'
import { zipOf } from './zip.ts'

export type PythonFlavor = 'mms' | 'torchserve'

/** Virtual environment with the workers of MMS and TorchServe, made by `scripts/interop.mjs`. */
export const pythonWorkers = process.env.ONNXD_INTEROP_PYTHON_WORKERS ?? ''
/** For `test(name, { skip: needsPython }, …)`. */
export const needsPython =
  pythonWorkers === '' ? 'needs the Python workers; see scripts/interop.mjs' : false

/**
 * A function handler that works in both servers. The header `x-do` of a request selects what it
 * does; without it the response reports the received parameters.
 */
const SERVICE = `
import logging
import os
import sys
import time


class PoorRequest(Exception):
    pass


def handle(data, context):
    if data is None:
        logging.info("loaded by process %d", os.getpid())
        return None
    requests = [Request(item, index, context) for index, item in enumerate(data)]
    answers = [request.answer() for request in requests]
    if any(answer is WRONG_LENGTH for answer in answers):
        return answers + ["one too many"]
    if any(answer is NO_LIST for answer in answers):
        return {"answers": "in no list"}
    return answers


WRONG_LENGTH = object()
NO_LIST = object()


class Request(object):
    def __init__(self, item, index, context):
        self.item, self.index, self.context, self.batch = item, index, context, None

    def answer(self):
        wish = self.context.get_request_header(self.index, "x-do") or "report"
        verb, _, argument = wish.partition(":")
        return getattr(self, "do_" + verb)(argument)

    def do_report(self, _):
        return {name(k): [type(v).__name__, shown(v)] for k, v in sorted(self.item.items(), key=lambda kv: name(kv[0]))}

    def do_headers(self, wanted):
        return {key: self.context.get_request_header(self.index, key) for key in wanted.split(",")}

    def do_pid(self, _):
        return {"pid": os.getpid(), "parent": os.getppid()}

    def do_batch(self, _):
        return {"size": len(self.context.request_ids)}

    def do_context(self, _):
        properties = self.context.system_properties
        return {"name": self.context.model_name, "gpu": properties.get("gpu_id"), "batch": properties.get("batch_size"),
                "folder": os.path.realpath(properties.get("model_dir")) == os.path.realpath(os.getcwd()),
                "handler": self.context.manifest["model"]["handler"]}

    def do_environment(self, argument):
        return {key: os.environ.get(key) for key in argument.split(",")}

    def do_sleep(self, milliseconds):
        time.sleep(int(milliseconds) / 1000.0)
        return "slept"

    def do_status(self, argument):
        code, _, phrase = argument.partition(",")
        self.context.set_response_status(int(code), phrase or None, self.index)
        return "as told"

    def do_header(self, argument):
        key, _, value = argument.partition("=")
        self.context.set_response_header(self.index, key, value)
        return "as told"

    def do_type(self, argument):
        self.context.set_response_content_type(self.index, argument)
        return "as told"

    def do_text(self, argument):
        return "text \\u00e9\\u4e2d " + argument

    def do_bytes(self, _):
        return bytes(bytearray(range(256)))

    def do_empty(self, _):
        return ""

    def do_null(self, _):
        return None

    def do_number(self, _):
        return 1.0

    def do_numbers(self, _):
        return {"one": 1.0, "nan": float("nan"), "text": "\\u00e9<&>", "list": [1, [2.5, None, True]], "none": {}}

    def do_large(self, length):
        return "x" * int(length)

    def do_length(self, _):
        return str(len(self.item.get("body", b"")))

    def do_raise(self, text):
        raise ValueError(text)

    def do_memory(self, _):
        raise MemoryError()

    def do_prediction(self, argument):
        code, _, text = argument.partition(",")
        raise prediction_exception()(text, int(code))

    def do_unserializable(self, _):
        return {"object": object()}

    def do_surplus(self, _):
        return WRONG_LENGTH

    def do_mapping(self, _):
        return NO_LIST

    def do_exit(self, code):
        os._exit(int(code))

    def do_signal(self, number):
        os.kill(os.getpid(), int(number))
        time.sleep(60)

    def do_hold(self, mebibytes):
        self.context.kept = bytearray(int(mebibytes) << 20)
        return "held"

    def do_print(self, text):
        print("printed: " + text)
        sys.stderr.write("to stderr: " + text + "\\n")
        sys.stderr.flush()
        logging.warning("logged: %s", text)
        return "printed"

    def do_flood(self, lines):
        for _ in range(int(lines)):
            print("x" * 100)
        return "flooded"

    def do_metric(self, value):
        self.context.metrics.add_counter("Answers", int(value))
        return "counted"


def name(key):
    return key.decode("utf-8") if isinstance(key, (bytes, bytearray)) else str(key)


def shown(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return value


def prediction_exception():
    if "mms" in sys.modules:
        from mms.service import PredictionException
    else:
        from ts.utils.util import PredictionException
    return PredictionException
`

/** Settings and content of a model. */
export interface PythonModelOptions {
  readonly flavor: PythonFlavor
  readonly name: string
  readonly runtime?: string
  readonly handler?: string
  /** Replaces the handler above. */
  readonly service?: string
  /** Further files of the archive. */
  readonly files?: Readonly<Record<string, string>>
}

/** Writes the archive `<name>.mar` into `folder` and returns its path. */
export function pythonArchive(folder: string, options: PythonModelOptions): string {
  const { name, service = SERVICE, files = {} } = options
  const file = path.join(folder, `${name}.mar`)
  const entries = {
    'service.py': service,
    'MAR-INF/MANIFEST.json': JSON.stringify(manifest(options)),
    ...files,
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    file,
    zipOf(Object.entries(entries).map(([entry, data]) => ({ name: entry, data }))),
  )
  return file
}

function manifest({
  flavor,
  name,
  runtime = 'python',
  handler = 'service:handle',
}: PythonModelOptions) {
  return flavor === 'mms'
    ? {
        specificationVersion: '1.0',
        implementationVersion: '1.0',
        modelServerVersion: '1.0',
        runtime,
        model: { modelName: name, modelVersion: '1.0', handler },
      }
    : {
        createdOn: '23/11/2024 10:00:00',
        archiverVersion: '0.12.0',
        runtime,
        model: { modelName: name, modelVersion: '1.0', handler, serializedFile: 'weights.bin' },
      }
}

/**
 * TorchServe's worker imports torch to detect tensors in the output. These handlers return none, so
 * a stub with only the class is enough: **a stub, not PyTorch**. Python finds it through
 * `PYTHONPATH` during the test.
 */
export function useTorchStub(t: TestContext): void {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'torch'))
  writeFileSync(path.join(folder, 'torch', '__init__.py'), 'class Tensor(object):\n    pass\n')
  const before = process.env.PYTHONPATH
  process.env.PYTHONPATH = folder
  t.after(() => {
    if (before === undefined) delete process.env.PYTHONPATH
    else process.env.PYTHONPATH = before
  })
}
