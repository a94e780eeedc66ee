"""Writes small models for TorchServe's default handlers, and prints what they should answer.

    python test/interop/torch_models.py FOLDER
"""
import json
import os
import sys

import torch
from PIL import Image
from torchvision import transforms

TEXT_MODEL = '''
import torch


class TextModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(64, 8)
        self.fc = torch.nn.Linear(8, 2)

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))
'''
# What the handler makes of the sentence of the test: no tags, contractions written out, no
# punctuation, then words and pairs of words.
WORDS = ["it", "is", "great", "is", "not", "it"]


class ImageModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(2)
        self.fc = torch.nn.Linear(12, 6)

    def forward(self, image):
        return self.fc(torch.flatten(self.pool(image), 1))


def image(folder):
    torch.manual_seed(1)
    model = ImageModel().eval()
    torch.jit.script(model).save(os.path.join(folder, "image.pt"))
    names = {str(index): ["n%d" % index, "class %d" % index] for index in range(6)}
    with open(os.path.join(folder, "index_to_name.json"), "w") as file:
        json.dump(names, file)
    picture = Image.new("RGB", (320, 280))
    picture.putdata([(x % 256, y % 256, (x * y) % 256) for y in range(280) for x in range(320)])
    picture.save(os.path.join(folder, "picture.png"))
    prepare = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ])
    with torch.no_grad():
        batch = prepare(picture).unsqueeze(0)
        scores = model(batch)
        values, classes = torch.topk(torch.softmax(scores, 1), 5)
        # The gradients of a linear model sum up to its output, less that for a black image.
        explained = (scores - model(torch.zeros_like(batch)))[0, 0].item()
    best = {"class %d" % index: value for index, value in zip(classes[0].tolist(), values[0].tolist())}
    return best, explained


def text(folder):
    torch.manual_seed(2)
    with open(os.path.join(folder, "text_model.py"), "w") as file:
        file.write(TEXT_MODEL)
    sys.path.insert(0, folder)
    from text_model import TextModel

    model = TextModel().eval()
    torch.save(model.state_dict(), os.path.join(folder, "text.pt"))
    pairs = [" ".join(pair) for pair in zip(WORDS, WORDS[1:])]
    vocabulary = {token: 1 + index for index, token in enumerate(dict.fromkeys(WORDS + pairs))}
    torch.save(vocabulary, os.path.join(folder, "source_vocab.pt"))
    os.makedirs(os.path.join(folder, "text"), exist_ok=True)
    with open(os.path.join(folder, "text", "index_to_name.json"), "w") as file:
        json.dump({"0": "bad", "1": "good"}, file)
    tokens = torch.tensor([vocabulary[token] for token in WORDS + pairs])
    with torch.no_grad():
        values = torch.softmax(model(tokens, torch.tensor([0])), 1)[0].tolist()
    return {"bad": values[0], "good": values[1]}


if __name__ == "__main__":
    best, explained = image(sys.argv[1])
    print(json.dumps({"image": best, "explained": explained, "text": text(sys.argv[1])}))
