"""Sends one data set with missing values in every format of pandas and NumPy, and compares the
responses with Python's onnxruntime.

    pandas_checks.py prepare FOLDER        trains the models and writes them as onnxd's folders
    pandas_checks.py check FOLDER HOST     sends the tables
"""

import io
import json
import pathlib
import sys
import urllib.error
import urllib.request

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow
import pyarrow.parquet
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 50
NUMBERS = ["age", "income", "score"]
random = np.random.default_rng(7)

people = pd.DataFrame(
    {
        "age": random.integers(18, 90, ROWS).astype(np.float64),
        "income": np.round(random.normal(3000.0, 900.0, ROWS), 2),
        "score": random.random(ROWS),
        "visits": random.integers(0, 9, ROWS),
        "city": random.choice(["Bern", 'Zürich, "ZH"', "[Basel]", "01"], ROWS),
    }
)
target = (people["income"] + 100 * people["visits"] > 3300).astype(np.int64)
people.loc[::7, "age"] = np.nan
people.loc[3::11, "score"] = np.nan
OPTIONS = {"zipmap": False}


def prepare(folder):
    numbers = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    numbers.fit(people[NUMBERS].to_numpy(), target)
    inputs = [("features", FloatTensorType([None, len(NUMBERS)]))]
    write(folder / "numbers", numbers, inputs, {"columns": NUMBERS})

    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("visits", StandardScaler(), ["visits"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    mixed = make_pipeline(columns, LogisticRegression()).fit(people, target)
    inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    inputs += [("visits", Int64TensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    write(folder / "mixed", mixed, inputs, {"extraColumns": "ignore"})


def write(folder, model, inputs, settings):
    folder.mkdir()
    options = {id(model): OPTIONS}
    onnx = to_onnx(model, initial_types=inputs, options=options, target_opset=17)
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    (folder / "model.json").write_text(json.dumps(settings))


def expected(folder, name, feed):
    session = onnxruntime.InferenceSession(folder / name / "model.onnx")
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feed)))


def archive(*arrays, **named):
    buffer = io.BytesIO()
    np.savez(buffer, *arrays, **named)
    return buffer.getvalue()


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def formats(frame):
    """Every body that pandas writes for this table, with its content type."""
    yield "to_csv", frame.to_csv(index=False), "text/csv"
    yield "to_csv with index", frame.to_csv(), "text/csv"
    yield "to_csv for Excel", "\ufeff" + frame.to_csv(lineterminator="\r\n"), "text/csv"
    yield "to_csv without header", frame.to_csv(index=False, header=False), "text/csv"
    for orient in ["split", "records", "table", "columns", "values"]:
        yield f"to_json {orient}", frame.to_json(orient=orient), "application/json"
    lists = json.dumps(frame.to_dict("list"))
    yield "to_dict list", lists, "application/json"
    lines = frame.to_json(orient="records", lines=True)
    yield "JSON lines", lines, "application/jsonlines"
    for name, orient in [("dataframe_split", "split"), ("dataframe_records", "records")]:
        body = json.dumps({name: json.loads(frame.to_json(orient=orient))})
        yield f"MLflow {name}", body, "application/json"


def parquet_files(frame):
    """Files of pandas and pyarrow with each option that changes how values are stored."""
    for compression in ["snappy", "gzip", "brotli", None]:
        yield f"to_parquet {compression}", frame.to_parquet(compression=compression)
    yield "to_parquet with index", frame.set_axis(range(5, 5 + len(frame))[::-1]).to_parquet()
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    options = {
        "pages of version 2": {"data_page_version": "2.0"},
        "format 1.0": {"version": "1.0"},
        "row groups": {"row_group_size": 7},
        "small pages": {"data_page_size": 64, "write_batch_size": 8},
        "no dictionary": {"use_dictionary": False},
        "byte stream split": {
            "use_dictionary": False,
            "column_encoding": {
                name: "BYTE_STREAM_SPLIT"
                for name in frame.columns
                if frame[name].dtype == np.float64
            },
        },
    }
    for what, chosen in options.items():
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, **chosen)
        yield f"pyarrow {what}", buffer.getvalue()
    types = {name: "category" for name in ["city"] if name in frame}
    narrow = {name: "float32" for name in frame.columns if frame[name].dtype == np.float64}
    yield "to_parquet narrow", frame.astype(types | narrow).to_parquet()
    nullable = frame.convert_dtypes()
    yield "to_parquet nullable", nullable.to_parquet()


def post(host, path, body, content_type, accept="application/json"):
    data = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type, "Accept": accept}
    request = urllib.request.Request(f"http://{host}{path}", data, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.read(), response.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path} {content_type}: {error.read().decode()}") from None


def compare(what, found, wanted):
    for name, values in wanted.items():
        np.testing.assert_allclose(
            np.array(found[name], dtype=values.dtype), values, rtol=1e-5, err_msg=what
        )
    print("ok", what)


def check(folder, host):
    wide = people[NUMBERS].to_numpy(np.float32)
    one = expected(folder, "numbers", {"features": wide})
    several = expected(
        folder,
        "mixed",
        {
            name: people[[name]].to_numpy(
                object if name == "city" else np.int64 if name == "visits" else np.float32
            )
            for name in people.columns
        },
    )
    cases = [("numbers", people[NUMBERS], one), ("mixed", people, several)]
    for model, frame, wanted in cases:
        for what, body in parquet_files(frame):
            for kind in ["application/vnd.apache.parquet", "application/octet-stream"]:
                answer, _ = post(host, f"/predictions/{model}", body, kind)
                compare(f"{model}: {what}", json.loads(answer), wanted)
    reordered = people[["city", "score", "visits", "age", "income"]].assign(id=range(ROWS))
    for model, frame, wanted in cases:
        for what, body, content_type in formats(frame):
            answer, _ = post(host, f"/predictions/{model}", body, content_type)
            compare(f"{model}: {what}", json.loads(answer), wanted)
            answer, _ = post(host, f"/v1/models/{model}:predict", body, content_type)
            predictions = json.loads(answer)["predictions"]
            found = {name: [row[name] for row in predictions] for name in wanted}
            compare(f"{model}: {what} to /v1", found, wanted)
    for what, body, content_type in formats(reordered):
        if "without header" in what or "values" in what:
            continue
        answer, headers = post(host, "/predictions/mixed", body, content_type)
        compare(f"reordered: {what}", json.loads(answer), several)
        assert headers["Onnxd-Ignored-Columns"] == "id", headers

    for kind in [np.float32, np.float64]:
        for body in [array(wide.astype(kind)), archive(wide.astype(kind))]:
            answer, _ = post(host, "/predictions/numbers", body, "application/octet-stream")
            compare(f"NumPy {kind.__name__}", json.loads(answer), one)
    columns = {name: people[name].to_numpy() for name in NUMBERS}
    answer, _ = post(host, "/predictions/numbers", archive(**columns), "application/x-npz")
    compare("savez of the columns of one input", json.loads(answer), one)
    columns |= {"visits": people["visits"].to_numpy(), "city": people["city"].to_numpy(str)}
    answer, _ = post(host, "/predictions/mixed", archive(**columns), "application/x-npz")
    compare("savez of columns", json.loads(answer), several)

    responses(host, one)
    print("done")


def responses(host, wanted):
    body = people[NUMBERS].to_csv(index=False)
    ask = lambda accept: post(host, "/predictions/numbers", body, "text/csv", accept)[0]
    table = pd.read_csv(io.BytesIO(ask("text/csv; header=present")))
    assert len(table) == ROWS
    names = list(wanted)
    found = {names[0]: table[names[0]], names[1]: table[[f"{names[1]}_0", f"{names[1]}_1"]]}
    compare("response read_csv", found, wanted)
    table = pd.read_json(io.BytesIO(ask("application/x-ndjson")), lines=True)
    compare("response read_json", {name: table[name].tolist() for name in names}, wanted)
    archive = np.load(io.BytesIO(ask("application/x-npz")))
    compare("response npz", archive, wanted)
    records = json.loads(ask("application/json; orient=records"))
    found = {name: [record[name] for record in records] for name in names}
    compare("response records", found, wanted)


if __name__ == "__main__":
    command, folder, *host = sys.argv[1:]
    if command == "prepare":
        prepare(pathlib.Path(folder))
    else:
        check(pathlib.Path(folder), *host)
