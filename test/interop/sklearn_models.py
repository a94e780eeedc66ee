"""Trains classifiers, exports them to ONNX with default options, and writes what Python predicts.

Usage: sklearn_models.py FOLDER. Writes FOLDER/NAME/model.onnx for each model, and
FOLDER/expected.json with inputs, labels and probabilities.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

warnings.filterwarnings("ignore")
FOLDER = Path(sys.argv[1])
OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
TARGETS = {"": 15, "ai.onnx.ml": 3}
FLOWERS = load_iris()
X = FLOWERS.data.astype(np.float32)
Y = FLOWERS.target
SPECIES = FLOWERS.target_names[Y]
ROWS = X[::25]


def main():
    update_registered_converter(
        LGBMClassifier, "LightGbm", calculate_linear_classifier_output_shapes, lightgbm, options=OPTIONS
    )
    update_registered_converter(
        XGBClassifier, "XGBoost", calculate_linear_classifier_output_shapes, xgboost, options=OPTIONS
    )
    expected = {}
    for name, (classifier, classes) in tables().items():
        model = make_pipeline(StandardScaler(), classifier).fit(X, classes)
        save(name, to_onnx(model, X[:1], target_opset=TARGETS))
        expected[name] = answers(model, {"X": ROWS.tolist()}, ROWS)
    direct = LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)
    types = [("X", ToolsFloat([None, 4]))]
    save("lightgbm_direct", convert_lightgbm(direct, initial_types=types, target_opset=15))
    expected["lightgbm_direct"] = answers(direct, {"X": ROWS.tolist()}, ROWS)
    direct = XGBClassifier(n_estimators=5).fit(X, Y)
    save("xgboost_direct", convert_xgboost(direct, initial_types=types, target_opset=15))
    expected["xgboost_direct"] = answers(direct, {"X": ROWS.tolist()}, ROWS)
    expected["reviews"] = reviews()
    (FOLDER / "expected.json").write_text(json.dumps(expected))
    print("done", len(expected))


def tables():
    """Classifiers of four numbers, with their classes."""
    return {
        "logistic": (LogisticRegression(max_iter=500), SPECIES),
        "logistic_numbers": (LogisticRegression(max_iter=500), Y * 10),
        "forest": (RandomForestClassifier(7, random_state=0), SPECIES),
        "bayes": (GaussianNB(), SPECIES),
        "vectors": (SVC(probability=True, random_state=0), Y),
        "lightgbm": (LGBMClassifier(n_estimators=5, verbose=-1), Y),
        "xgboost": (XGBClassifier(n_estimators=5), Y),
    }


def reviews():
    """A pipeline of columns: words, a category and a number."""
    words = ["good film", "bad film", "very good", "so bad", "good story", "bad actors"] * 5
    table = pd.DataFrame(
        {
            "text": words,
            "country": ["fr", "de", "fr", "it", "de", "it"] * 5,
            "minutes": np.linspace(60, 180, 30).astype(np.float32),
        }
    )
    classes = ["liked" if "good" in text else "disliked" for text in words]
    columns = ColumnTransformer(
        [
            # In lower case the operator would need a locale that not every system has.
            ("words", TfidfVectorizer(lowercase=False), "text"),
            ("category", OneHotEncoder(), ["country"]),
            ("number", StandardScaler(), ["minutes"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, classes)
    types = [
        ("text", StringTensorType([None, 1])),
        ("country", StringTensorType([None, 1])),
        ("minutes", FloatTensorType([None, 1])),
    ]
    save("reviews", to_onnx(model, initial_types=types, target_opset=TARGETS))
    rows = table[:6]
    inputs = {name: [[value] for value in rows[name].tolist()] for name in rows}
    return answers(model, inputs, rows)


def answers(model, inputs, rows):
    labels = [str(label) for label in model.classes_]
    return {
        "inputs": inputs,
        "classes": labels,
        "labels": model.predict(rows).tolist(),
        "probabilities": model.predict_proba(rows).tolist(),
    }


def save(name, model):
    (FOLDER / name).mkdir()
    onnx.save(model, FOLDER / name / "model.onnx")


main()
