"""Asks a server for embeddings with the client of OpenAI: openai_checks.py URL EXPECTED.json

EXPECTED.json has `texts`, and their `vectors`. Prints "done" at the end.
"""
import json
import sys

import openai

url, expected_file = sys.argv[1:3]
expected = json.load(open(expected_file, encoding='utf-8'))
texts, vectors = expected['texts'], expected['vectors']
client = openai.OpenAI(base_url=f'{url}/v1', api_key='none', max_retries=0)


def check(response):
    assert response.object == 'list' and response.model == 'sentence', response
    assert response.usage.total_tokens == response.usage.prompt_tokens > len(texts), response.usage
    assert [one.index for one in response.data] == list(range(len(texts)))
    for one, vector in zip(response.data, vectors, strict=True):
        assert len(one.embedding) == len(vector)
        for value, wanted in zip(one.embedding, vector):
            assert abs(value - wanted) <= 1e-6 * max(1, abs(wanted)), (value, wanted)


# The client asks for base64 if no format is named.
check(client.embeddings.create(model='sentence', input=texts))
check(client.embeddings.create(model='sentence', input=texts, encoding_format='float'))
short = client.embeddings.create(model='sentence', input=texts[0], dimensions=3)
assert len(short.data) == 1 and len(short.data[0].embedding) == 3
assert [model.id for model in client.models.list()] == ['sentence']


def refused(kind, **request):
    try:
        client.embeddings.create(**request)
    except kind as error:
        return error
    raise AssertionError(f'{request} was accepted')


unknown = refused(openai.NotFoundError, model='nothing', input='a')
assert unknown.code == 'model_not_found' and unknown.param == 'model', unknown.body
wrong = refused(openai.BadRequestError, model='sentence', input=[1, -2, 3])
assert wrong.param == 'input' and wrong.type == 'invalid_request_error', wrong.body
# As LangChain does: lists of token ids.
check(client.embeddings.create(model='sentence', input=expected['ids']))
print('done')
