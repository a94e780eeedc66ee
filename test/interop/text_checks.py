"""Compares the responses of a server with Python: text_checks.py URL STORE TEXTS.json

The pipelines of Hugging Face compute the answers from the outputs of the same .onnx files, which
onnxruntime runs here. Each check prints "ok NAME: LARGEST DIFFERENCE OF A SCORE".
"""
import json
import os
import sys
import types
import urllib.request

import numpy as np
import onnxruntime
from transformers import PreTrainedTokenizerFast
from transformers.pipelines.question_answering import QuestionAnsweringPipeline, SquadExample
from transformers.pipelines.token_classification import (
    AggregationStrategy,
    TokenClassificationPipeline,
)

url, store, texts_file = sys.argv[1:4]
texts = json.load(open(texts_file, encoding='utf-8'))
LIMIT = 1e-4


def ask(model, body):
    data = json.dumps(body).encode()
    headers = {'content-type': 'application/json'}
    request = urllib.request.Request(f'{url}/predictions/{model}', data, headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


class Model:
    """A folder: its tokenizer and its .onnx file."""

    def __init__(self, name, file='onnx/model.onnx', max_length=None):
        folder = os.path.join(store, name)
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=os.path.join(folder, 'tokenizer.json'),
            unk_token='[UNK]', cls_token='[CLS]', sep_token='[SEP]', pad_token='[PAD]',
            mask_token='[MASK]', model_max_length=max_length or 512,
        )
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, file), providers=['CPUExecutionProvider'])
        config = os.path.join(folder, 'config.json')
        known = json.load(open(config)) if os.path.exists(config) else {}
        self.labels = {int(key): label for key, label in known.get('id2label', {}).items()}

    def run(self, encoded):
        feeds = {one.name: np.array([encoded[one.name]], dtype=np.int64)
                 for one in self.session.get_inputs()}
        return self.session.run(None, feeds)

    def encode(self, *text, **options):
        return self.tokenizer(*text, return_token_type_ids=True, **options)


def compare(name, pairs):
    """Checks that pairs agree: numbers within LIMIT, all else exactly."""
    worst = 0.0

    def same(one, other, place):
        nonlocal worst
        if isinstance(other, dict):
            assert set(other) <= set(one), (name, place, one, other)
            for key in other:
                same(one[key], other[key], f'{place}.{key}')
        elif isinstance(other, list):
            assert len(one) == len(other), (name, place, one, other)
            for index, (a, b) in enumerate(zip(one, other)):
                same(a, b, f'{place}[{index}]')
        elif isinstance(other, float):
            worst = max(worst, abs(one - other))
            assert abs(one - other) <= LIMIT, (name, place, one, other)
        else:
            assert one == other, (name, place, one, other)

    for index, (one, other) in enumerate(pairs):
        same(one, other, str(index))
    print(f'ok {name}: {len(pairs)} answers, {worst:.1e}', flush=True)


def plain(value):
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, (np.floating, float)):
        return float(value)
    return int(value) if isinstance(value, np.integer) else value


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def embeddings(name, max_length):
    model = Model(name)
    expected = []
    for text in texts:
        encoded = model.encode(text, truncation=True, max_length=max_length)
        hidden = model.run(encoded)[0][0]
        pooled = hidden.mean(0)
        expected.append((pooled / np.linalg.norm(pooled)).astype(float).tolist())
    got = []
    for start in range(0, len(texts), 50):
        got += ask(name, {'inputs': texts[start:start + 50], 'truncate': True})
    compare(f'embeddings of {name}', list(zip(got, expected)))


def classification(name):
    model = Model(name)
    pairs = []
    for text in texts:
        encoded = model.encode(text, truncation=True, max_length=64)
        scores = softmax(model.run(encoded)[0][0].astype(float))
        got = {one['label']: one['score'] for one in ask(name, {'inputs': text, 'truncate': True})}
        pairs.append((got, {model.labels[i]: float(s) for i, s in enumerate(scores)}))
    compare(f'labels of {name}', pairs)


def tagged(name, file='onnx/model.onnx', labels=None, max_length=64, count=10_000):
    model = Model(name, file)
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.tokenizer = model.tokenizer
    pipeline.framework = 'np'
    config = types.SimpleNamespace(id2label=labels or model.labels)
    pipeline.model = types.SimpleNamespace(config=config)
    for strategy in AggregationStrategy:
        pairs = []
        for text in texts[:count]:
            encoded = model.encode(text, return_offsets_mapping=True,
                                   return_special_tokens_mask=True)
            if len(encoded['input_ids']) > max_length:
                continue
            logits = model.run(encoded)[0][0].astype(float)
            entities = pipeline.gather_pre_entities(
                text, np.array(encoded['input_ids']), softmax(logits),
                encoded['offset_mapping'], np.array(encoded['special_tokens_mask']), strategy)
            expected = [one for one in pipeline.aggregate(entities, strategy)
                        if one.get('entity') != 'O' and one.get('entity_group') != 'O']
            got = ask(name, {'inputs': text, 'aggregation_strategy': strategy.value})
            pairs.append((got, plain(expected)))
        assert len(pairs) > min(count, 100) / 2, len(pairs)
        compare(f'spans of {name}, {strategy.value}', pairs)


def answered(name):
    model = Model(name)
    pipeline = QuestionAnsweringPipeline.__new__(QuestionAnsweringPipeline)
    pipeline.tokenizer = model.tokenizer
    pipeline.framework = 'np'
    for options in [{}, {'handle_impossible_answer': True}, {'top_k': 3},
                    {'align_to_words': False, 'max_answer_len': 4}]:
        pairs = []
        for number, text in enumerate(texts):
            context = f'{text} {texts[(number + 1) % len(texts)]}'
            question = f'who {number % 7} is'
            if not context.strip():
                continue
            encoded = model.encode(
                question, context, truncation='only_second', max_length=48, stride=10,
                return_overflowing_tokens=True, return_offsets_mapping=True)
            outputs = []
            for window in range(len(encoded['input_ids'])):
                one = {key: encoded[key][window]
                       for key in ('input_ids', 'attention_mask', 'token_type_ids')}
                start, end = (np.array(values, dtype=float) for values in model.run(one))
                mask = [place != 1 for place in encoded.sequence_ids(window)]
                mask[0] = 0
                outputs.append({
                    'start': start, 'end': end, 'p_mask': mask, 'encoding': encoded[window],
                    'example': SquadExample(None, question, context, None, None, None)})
            expected = pipeline.postprocess(outputs, **options)
            body = {'question': question, 'context': context, 'max_seq_len': 48,
                    'doc_stride': 10, **options}
            got = ask(name, body)
            if isinstance(expected, dict) and isinstance(got, list):
                got = got[0]
            if isinstance(expected, list):
                # The pipeline fills short lists with spans of score 0 in any order.
                expected = [one for one in expected if one['score'] > 1e-9]
                got = [one for one in got if one['score'] > 1e-9]
            pairs.append((got, plain(expected)))
        assert len(pairs) > 100
        compare(f'answers of {name}, {options}', pairs)


def masked(name):
    model = Model(name)
    pairs = []
    for text in texts[:60]:
        text = f'{text[:40]} [MASK]'
        encoded = model.encode(text)
        place = max(i for i, one in enumerate(encoded['input_ids'])
                    if one == model.tokenizer.mask_token_id)
        if encoded['input_ids'].count(model.tokenizer.mask_token_id) > 1:
            continue
        scores = softmax(model.run(encoded)[0][0][place].astype(float))
        expected = []
        for token in np.argsort(-scores, kind='stable')[:5]:
            ids = list(encoded['input_ids'])
            ids[place] = int(token)
            tokenizer = model.tokenizer
            expected.append({
                'score': float(scores[token]), 'token': int(token),
                'token_str': tokenizer.decode([token], clean_up_tokenization_spaces=False),
                'sequence': tokenizer.decode(ids, skip_special_tokens=True,
                                             clean_up_tokenization_spaces=False)})
        pairs.append((ask(name, text), expected))
    compare(f'words of {name}', pairs)


if os.path.exists(os.path.join(store, 'minilm')):
    embeddings('minilm', 256)
classification('classifier')
tagged('names')
answered('answers')
masked('words')
if os.path.exists(os.path.join(store, 'tagger')):
    found = json.load(open(os.path.join(store, 'tagger', 'labels.json'), encoding='utf-8'))
    tagged('tagger', 'tagger.onnx', dict(enumerate(found)), 512, 12)
print('done')
