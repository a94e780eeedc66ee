"""Trains handlers/tickets/model.onnx, which sorts messages to a help desk into four teams.

The messages are made by this script: sentences with gaps that are filled with words. A sixth of the
sentences is held out: messages with them are never trained on, only measured. So the model is good
for an example, and for nothing else. Its input is a text whose links, mail addresses and numbers
are replaced by words; the handler does that.
"""

import os

# One thread and one kind of kernel: sums are taken in the same order, so a second run writes the
# same bytes.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import json
import random
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

SEED = 0
FOLDER = Path(__file__).parent / "handlers" / "tickets"
MESSAGES = 800
SPECIAL = ["[PAD]", "[UNK]"]

OPENINGS = ["", "hello,", "hi there,", "good morning,", "dear team,", "hello support,"]
CLOSINGS = [
    "",
    "thank you.",
    "please help.",
    "can you look into this?",
    "kind regards",
    "i am waiting for your answer.",
]
GAPS = {
    "thing": ["order", "parcel", "package", "delivery", "shipment"],
    "goods": ["chair", "lamp", "shoes", "book", "phone", "coffee machine"],
    "pay": ["card", "credit card", "bank account", "invoice"],
    "part": ["app", "website", "page", "program", "screen"],
    "day": ["monday", "yesterday", "last week", "two days ago", "today"],
}
SENTENCES = {
    "account": [
        "i cannot log in any more.",
        "i cannot log in with my password since {day}.",
        "my password does not work since {day}.",
        "the new password is not accepted when i sign in.",
        "how do i change my password?",
        "how do i change my mail address to mailaddress?",
        "please change the mail address of my account to mailaddress.",
        "please delete my account and my data.",
        "i want to delete my profile.",
        "i did not get the mail with the code to sign in.",
        "the code to log in never comes.",
        "my account is locked after number wrong passwords.",
        "please unlock my account.",
        "i want to change the name in my profile.",
        "my name is written wrong in my account.",
        "somebody else signed in to my account {day}.",
        "i think that somebody knows my password.",
        "i forgot my password and the link weblink has expired.",
        "i forgot which mail address i signed up with.",
        "can i have two users in one account?",
        "how can i add a user to our account?",
        "i signed up {day} but cannot log in.",
        "the link to reset my password does not come.",
        "please close my account.",
    ],
    "billing": [
        "you charged my {pay} twice for order number.",
        "you charged my {pay} number euros too much.",
        "i was charged {day} although i cancelled.",
        "i need a refund for the {goods}.",
        "when do i get my refund of number euros?",
        "the refund for the {goods} is missing on my {pay}.",
        "the invoice shows the wrong amount of number.",
        "the invoice has the wrong name on it.",
        "why did the price go up to number euros?",
        "the price on the invoice is not the price that i saw.",
        "please send me the invoice for order number.",
        "i need an invoice with the tax on it.",
        "my {pay} was declined although there is enough money.",
        "the payment with my {pay} fails.",
        "the discount of number percent is missing on my invoice.",
        "my discount code was not used for the payment.",
        "i cancelled {day} but still paid for the next month.",
        "please stop the monthly payment.",
        "can i pay with a {pay} instead?",
        "how can i pay with my {pay}?",
        "when do i get my money back for the {goods}?",
        "i want my money back.",
        "i paid number euros but the order says not paid.",
        "there is a payment of number euros that i do not know.",
    ],
    "delivery": [
        "my {thing} has not arrived yet.",
        "the {thing} was sent {day} and has not arrived.",
        "the {goods} came broken, the box was open.",
        "the {goods} arrived broken.",
        "the box of the {goods} was open and wet.",
        "where is my {thing} number?",
        "where is the {goods} that i ordered {day}?",
        "the tracking page weblink says nothing since {day}.",
        "the tracking number number is unknown.",
        "i got the wrong {goods}, in another color.",
        "you sent the wrong {goods}.",
        "can you send the {thing} to another address?",
        "please send it to my new address.",
        "the driver left the {thing} in the rain {day}.",
        "the driver did not ring, and the {thing} went back.",
        "a part of my {thing} is missing, number of number pieces came.",
        "one of the {goods} is missing in the box.",
        "how long does the delivery of the {goods} take?",
        "when does my {thing} arrive?",
        "i want to send the {goods} back, where is the label?",
        "how do i return the {goods}?",
        "the neighbour has my {thing}, but which one?",
        "the {thing} is late, it should have come {day}.",
        "i was at home {day}, but nobody came with the {thing}.",
    ],
    "technical": [
        "the {part} crashes when i open it.",
        "the {part} crashes when i upload a photo.",
        "i see the error number on the {part}.",
        "there is an error number when i open the {part}.",
        "the {part} is very slow since the update {day}.",
        "the {part} takes number seconds to open.",
        "the button on the {part} does nothing.",
        "nothing happens when i click the button.",
        "the {part} at weblink does not load in my browser.",
        "the {part} does not open in the browser.",
        "after the update the {part} stays white.",
        "the {part} is white and nothing loads.",
        "i cannot upload a photo, the {part} freezes.",
        "the {part} freezes when i click on search.",
        "the search on the {part} finds nothing.",
        "the search is broken since the update.",
        "the {part} shows the text in the wrong language.",
        "the text on the {part} is too small.",
        "there is a bug in the {part}, it forgets my settings.",
        "my settings are gone after the update.",
        "the {part} does not start on my phone.",
        "i cannot install the update of the {part}.",
        "the photo on the {part} does not load.",
        "the video stops after number seconds.",
    ],
}
SAMPLES = [
    "hello, my parcel number has not arrived yet. thank you.",
    "the app crashes when i upload a photo. can you look into this?",
    "you charged my card twice, i need a refund of number euros.",
    "i forgot my password, please help.",
]


def main():
    teams = sorted(SENTENCES)
    rng = random.Random(SEED)
    train, test = make_messages(teams, rng)
    vocabulary = vocabulary_of([text for text, _ in train])
    x = np.stack([shares(text, vocabulary) for text, _ in train])
    y = np.array([team for _, team in train])
    classifier = LogisticRegression(C=100, max_iter=5000).fit(x, y)
    FOLDER.mkdir(exist_ok=True)
    onnx.save(build_graph(classifier), FOLDER / "model.onnx")
    (FOLDER / "labels.txt").write_text("".join(f"{team}\n" for team in teams))
    write_json(FOLDER / "tokenizer.json", tokenizer_file(vocabulary))
    rows = classifier.predict_proba(np.stack([shares(text, vocabulary) for text in SAMPLES]))
    samples = [
        {"text": text, "scores": dict(zip(teams, (round(float(value), 6) for value in row)))}
        for text, row in zip(SAMPLES, rows)
    ]
    write_json(FOLDER / "samples.json", samples)
    report(test, vocabulary)


def make_messages(teams, rng):
    """Lists of texts with the number of their team: for training, and held out."""
    train, test = [], []
    for number, team in enumerate(teams):
        sentences = rng.sample(SENTENCES[team], len(SENTENCES[team]))
        held_out = len(sentences) // 6
        for part, own in ((test, sentences[:held_out]), (train, sentences[held_out:])):
            for _ in range(MESSAGES // 4 if part is test else MESSAGES):
                part.append((make_message(own, rng), number))
    return train, test


def make_message(sentences, rng):
    chosen = rng.sample(sentences, rng.choice([1, 1, 2]))
    filled = [
        re.sub(r"\{(\w+)\}", lambda gap: rng.choice(GAPS[gap.group(1)]), sentence)
        for sentence in chosen
    ]
    return " ".join(part for part in [rng.choice(OPENINGS), *filled, rng.choice(CLOSINGS)] if part)


def tokens_of(text):
    """The same tokens as those of the tokenizer file."""
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def vocabulary_of(texts):
    words = sorted({token for text in texts for token in tokens_of(text)})
    return {word: number for number, word in enumerate([*SPECIAL, *words])}


def shares(text, vocabulary):
    """For each word its share of the text, which is what the mean in the graph makes of it."""
    row = np.zeros(len(vocabulary))
    tokens = tokens_of(text)
    for token in tokens:
        if token in vocabulary:
            row[vocabulary[token]] += 1 / len(tokens)
    return row


def build_graph(classifier):
    """input_ids, attention_mask [N, T] -> weights of the words -> their mean -> logits [N, 4]."""
    constants = {
        "table": np.ascontiguousarray(classifier.coef_.T, np.float32),
        "biases": classifier.intercept_.astype(np.float32),
        "last": np.array([2], np.int64),
        "tokens": np.array([1], np.int64),
        "one": np.array([1], np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["own"]),
        helper.make_node("ReduceSum", ["own", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "tokens"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "one"], ["count"]),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["mean", "biases"], ["logits"]),
    ]
    shape = ["N", "T"]
    graph = helper.make_graph(
        nodes,
        "tickets",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(SENTENCES)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="onnxd examples",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def tokenizer_file(vocabulary):
    """The content of a tokenizer.json that splits as tokens_of does."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, token in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }


def write_json(file, value):
    file.write_text(json.dumps(value, indent=1) + "\n")


def report(messages, vocabulary):
    """Prints the accuracy on the held-out sentences, measured with the file that was written."""
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    right = 0
    for text, team in messages:
        ids = np.array([[vocabulary.get(token, 1) for token in tokens_of(text)]], np.int64)
        (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": ids * 0 + 1})
        right += int(logits[0].argmax() == team)
    count = len(messages)
    print(f"tickets: {right} of {count} messages with held-out sentences right, {right / count:.2%}")


if __name__ == "__main__":
    main()
