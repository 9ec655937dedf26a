"""The page is sound HTML, loads nothing, runs nothing of the data's, and its figures are right."""

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.stats import entropy
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, make_moons
from flowssl.inspection import image_bits
from flowssl.report import write_report
from flowssl.report.facts import gather
from flowssl.report.kinds import KINDS
from flowssl.report.kinds.table_rows import pick
from flowssl.report.markup import number, percent, significant
from flowssl.report.sections.parameters import parameter_rows

SECTIONS = [
    *(
        "summary",
        "data",
        "comparison",
        "confusion",
        "calibration",
        "latent",
        "plane",
        "judged",
        "rows",
    ),
    *("training", "initialization", "parameters", "versions"),
]
IMAGE_SECTIONS = ["samples" if name == "plane" else name for name in SECTIONS]
VOID = {"meta", "img"}
SCRIPT = "<script>alert(1)</script>"
BOLD = '"><b onload=x>'


class Page(HTMLParser):
    """A parsed page: its elements, its tables and its text."""

    def __init__(self, text):
        super().__init__()
        self.source, self.elements, self.tables, self.text = text, [], {}, ""
        self._open, self._cells, self._caption = [], None, ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self._cells = self.tables.setdefault(self._caption, [])
            self._cells.append([])
        if tag in ("td", "th"):
            self._cells[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data
        if "caption" in self._open:
            self._caption += data
        if "td" in self._open or "th" in self._open:
            self._cells[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def figures(self, theme):
        return [image["src"] for image in self.all("img") if image["class"] == theme]

    def table(self, start):
        return next(rows for caption, rows in self.tables.items() if caption.startswith(start))


@pytest.fixture(scope="module")
def planar():
    X, truth = make_moons(160, random_state=0)
    y = hide_labels(truth, per_class=4, random_state=0)
    model = FlowGMMClassifier(
        architecture="affine", max_epochs=2, propagation_weight=1, random_state=0
    )
    return model.fit(X, y), X, y


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    code = rng.integers(3, size=300)
    table = pd.DataFrame(
        {
            SCRIPT: rng.normal(code, 0.5),
            "city": np.array(["Bern", BOLD, "Rome"])[(code + (rng.random(300) < 0.2)) % 3],
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(30 * code, unit="D"),
            "constant": 1.5,
        }
    )
    table["copy"] = table[SCRIPT]
    table.loc[:49, "city"] = None
    truth = np.array([SCRIPT, "b & c", "100 %"], dtype=object)[code]
    y = truth.copy()
    y[30:200] = None
    model = FlowGMMClassifier(
        architecture="affine", max_epochs=1, propagation_weight=1, random_state=0
    )
    model.fit(table[:200], y[:200])
    return model, table[:200], y[:200], table[200:], truth[200:]


@pytest.fixture(scope="module")
def plain_page(planar, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_report(*planar, path)
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def test_page(mixed, tmp_path_factory):
    model, X, y, X_test, y_test = mixed
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_report(model, X, y, path, X_test=X_test, y_test=y_test, title=f"{BOLD} $title")
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def image_page(image_model, tmp_path_factory):
    model, X, y, truth = image_model
    path = tmp_path_factory.mktemp("report") / "page.html"
    names = [f"scan <{i}>.png" for i in range(110)]
    write_report(model, X[:110], y[:110], path, X_test=X[110:], y_test=truth[110:], names=names)
    return Page(path.read_text("utf-8"))


@pytest.fixture(params=["plain_page", "test_page", "image_page"])
def page(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def expected_sections(page, image_page):
    return IMAGE_SECTIONS if page is image_page else SECTIONS


def test_all_sections_are_there_in_order_with_a_heading(page, expected_sections):
    found = page.all("section")
    assert [section["id"] for section in found] == expected_sections
    headings = {heading["id"] for heading in page.all("h2")}
    assert {section["aria-labelledby"] for section in found} == headings
    assert len(page.all("h1")) == 1
    assert page.text.index("Summary") < page.text.index("of them labeled")


def test_identifiers_are_unique_and_links_lead_to_them(page, expected_sections):
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert [link["href"].removeprefix("#") for link in page.all("a")] == expected_sections


def test_nothing_is_loaded_from_elsewhere(page):
    for _, attributes in page.elements:
        for key in ("src", "srcset", "href", "data", "poster", "action"):
            assert attributes.get(key, "#").startswith(("#", "data:image/svg+xml;base64,"))
    assert not re.search(r"url\(|@import|https?://", page.source)
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)["content"]
    assert policy.startswith("default-src 'none'")


def test_figures_are_sound_svg_in_both_themes_that_load_nothing(page):
    light, dark = page.figures("light"), page.figures("dark")
    assert len(light) == len(dark)
    for uri in light + dark:
        svg = ElementTree.fromstring(base64.b64decode(uri.split(",", 1)[1]))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        for element in svg.iter():
            assert not element.tag.endswith("}script")
            link = element.get("{http://www.w3.org/1999/xlink}href", "#")
            assert link.startswith(("#", "data:image/png;base64,"))
    assert set(light).isdisjoint(dark)


def test_figures_and_tables_can_be_read_aloud(page):
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert len(page.all("figcaption")) == len(page.figures("light"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(header["scope"] in ("row", "col") for header in page.all("th"))


def test_number_of_figures_and_size(plain_page, test_page, image_page):
    assert len(plain_page.figures("light")) == 6  # latent, boundary, samples, flow, pairs, history
    assert len(test_page.figures("light")) == 4  # reliability, latent, pairs, history
    assert max(len(plain_page.source), len(test_page.source)) < 5e6


def test_names_and_labels_of_the_user_are_text(test_page):
    assert not test_page.all("script")
    assert not test_page.all("b")
    assert not any("onload" in attributes for _, attributes in test_page.elements)
    assert test_page.text.count(SCRIPT) >= 5
    assert f"{BOLD} $title" in test_page.text
    assert SCRIPT in {row[0] for row in test_page.table("Columns")}
    assert "b & c" in {row[0] for row in test_page.table("Classes")}


def test_the_summary_gives_the_accuracies(mixed, test_page):
    model, _, _, X_test, y_test = mixed
    encoded = model.completion_.features(model.encoder_.transform(X_test))
    baseline = model.classes_[model.baseline_.predict(encoded)]
    right, before = model.predict(X_test) == y_test, baseline == y_test
    assert (
        f"On 100 test rows the accuracy is {percent(right.mean())}, that of the labels-only "
        f"baseline {percent(before.mean())}: {(right & ~before).sum()} rows are classified "
        f"correctly by the model only, {(before & ~right).sum()} by the baseline only."
    ) in test_page.text
    assert "trained on 30 labeled and 170 unlabeled rows" in test_page.text


def test_the_comparison_agrees_with_scikit_learn(mixed, test_page):
    model, _, _, X_test, y_test = mixed
    proba = model.predict_proba(X_test)
    _, baseline, ours = test_page.table("Scores on 100 labeled test rows")
    assert baseline[0] == "labels-only baseline"
    assert ours[1].startswith(percent(accuracy_score(y_test, model.predict(X_test))))
    assert ours[2] == number(log_loss(y_test, proba, labels=model.classes_))


def test_the_confusion_matrix_agrees_with_scikit_learn(mixed, test_page):
    model, _, _, X_test, y_test = mixed
    head, *body = test_page.table("Test rows by true class")
    assert head[1:-1] == [row[0] for row in body] == model.classes_.tolist()
    shown = [[0 if cell == "·" else int(cell) for cell in row[1:-1]] for row in body]
    expected = confusion_matrix(y_test, model.predict(X_test), labels=model.classes_)
    np.testing.assert_array_equal(shown, expected)


def test_without_test_rows_the_accuracy_is_unknown(planar, plain_page):
    start = planar[0].initialization_
    for value in (start["label_log_likelihood"], start["baseline_label_log_likelihood"]):
        assert number(value) in plain_page.text
    assert (
        "The accuracy of the trained model is unknown: no test rows were given." in plain_page.text
    )
    assert "says nothing about new rows" in plain_page.text
    assert "accuracy ±" not in plain_page.text


def test_the_data_are_described(mixed, test_page):
    _, X, y, _, _ = mixed
    columns = {row[0]: row[1:] for row in test_page.table("Columns")}
    assert columns["city"][:2] == ["categorical", percent(0.25)]
    assert columns["constant"][2] == "left out: constant, 1.5"
    assert columns["copy"][2] == f"left out: repeats {SCRIPT}"
    assert columns["when"][2].startswith("2024-01-01 00:00 … ")
    low, middle, high = (significant(v) for v in X[SCRIPT].quantile([0, 0.5, 1]))
    assert columns[SCRIPT][2] == f"{low} … {middle} … {high}"
    given = {row[0]: row[1] for row in test_page.table("Classes")[1:]}
    assert given == {label: str((y == label).sum()) for label in given}
    assert "1 constant and left out, 1 repeated and left out" in test_page.text


def test_the_extreme_rows_are_those_of_score_samples(mixed, test_page):
    model, X, _, _, _ = mixed
    order = np.argsort(model.score_samples(X), kind="stable")
    for title, expected in (("Least likely", order[:5]), ("Most likely", order[::-1][:5])):
        head, *body = test_page.table(title)
        assert [int(row[0]) for row in body] == expected.tolist()
        place = head.index("city")
        cities = ["–" if pd.isna(city) else city for city in X["city"].iloc[expected]]
        assert [row[place] for row in body] == cities


def test_rows_to_label_next_are_unlabeled_and_the_most_uncertain(mixed, test_page):
    model, X, y, _, _ = mixed
    shown = [int(row[0]) for row in test_page.table("Most uncertain rows")[1:]]
    doubt = entropy(model.predict_proba(X), axis=1)
    density = model.score_samples(X)
    others = [i for i in range(len(X)) if y[i] is None and i not in shown]
    usual = [i for i in others if density[i] >= np.quantile(density, 0.01)]
    assert len(shown) == 10
    assert all(y[i] is None for i in shown)
    assert min(doubt[shown]) >= max(doubt[usual])


def test_candidates_and_parameters_are_listed(mixed, test_page):
    model = mixed[0]
    names = {row[0] for row in test_page.table("Candidates")}
    assert {candidate["name"] for candidate in model.initialization_["candidates"]} < names
    parameters = {row[0]: row[1:] for row in test_page.table("Parameters")}
    assert set(model.get_params()) < set(parameters)
    assert parameters["architecture"] == ["'affine'", "changed"]
    assert parameters["objective"] == ["'soft-labels'", "default"]
    versions = dict(test_page.table("Versions"))
    assert versions["numpy"] == np.__version__


class Group(BaseEstimator):
    def __init__(self, kind, *, weight=1.0, views=None):
        self.kind, self.weight, self.views = kind, weight, views


class Model(BaseEstimator):
    def __init__(self, epochs="auto", group="a", prior=None):
        self.epochs, self.group, self.prior = epochs, group, prior


def test_groups_of_parameters_are_listed_under_the_names_of_set_params():
    model = Model(group=Group("b", views=np.flip), prior=np.array([0.2, 0.8]))
    rows = parameter_rows(model)
    assert rows == [
        ("epochs", "'auto'", "default"),
        ("group", "Group", "changed"),
        ("group__kind", "'b'", "changed"),
        ("group__weight", "1.0", "default"),
        ("group__views", "flip", "changed"),
        ("prior", "array([0.2, 0.8])", "changed"),
    ]
    assert {name for name, _, _ in rows} == set(model.get_params(deep=True))
    assert parameter_rows(Model())[1] == ("group", "'a'", "default")


def test_a_loaded_model_gives_the_same_page(mixed, test_page, tmp_path):
    model, X, y, X_test, y_test = mixed
    model.save(tmp_path / "model.flowssl")
    again = flowssl.load(tmp_path / "model.flowssl")
    path = tmp_path / "page.html"
    write_report(again, X, y, path, X_test=X_test, y_test=y_test, title=f"{BOLD} $title")
    date = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
    assert date.sub("", path.read_text("utf-8")) == date.sub("", test_page.source)


def test_a_failed_report_leaves_the_old_page(planar, tmp_path):
    model, X, y = planar
    path = tmp_path / "page.html"
    path.write_text("old")
    for rows, labels, message in (
        (X, None, "given together"),
        (None, y, "given together"),
        (X, np.full(len(X), -1), "no labeled row"),
        (X, np.full(len(X), 5), "label 5, which is not one of"),
        (X[:3], y, "X_test has 3 rows but y_test has 160"),
    ):
        with pytest.raises(ValueError, match=message):
            write_report(model, X, y, path, X_test=rows, y_test=labels)
    with pytest.raises(ValueError, match="X has 160 rows but y has 2"):
        write_report(model, X, y[:2], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unlabeled_test_rows_are_left_out(planar):
    model, X, y = planar
    test = gather(model, KINDS["table"].traits, X, y, X_test=X, y_test=y).test
    assert len(test.codes) == (y >= 0).sum()
    assert test.model_scores.accuracy == pytest.approx(model.score(X, y))


def test_images_are_called_images(image_model, image_page):
    model, X, y, truth = image_model
    right = percent(model.score(X[110:], truth[110:]))
    assert f"On 40 test images the accuracy is {right}" in image_page.text
    assert f"trained on {(y[:110] >= 0).sum()} labeled and" in image_page.text
    assert "110 gray images of 8 × 8 pixels, 18 of them labeled" in image_page.text
    bits = image_bits(model, X[110:])
    assert bits.centers == pytest.approx(-model.score_samples(X[110:]).mean() / (64 * np.log(2)))
    assert f"Negative log-likelihood of 40 of the test images: {number(bits.expected, 2)} bits" in (
        image_page.text
    )
    for reading in (bits.averaged, bits.centers):
        assert number(reading, 2) in image_page.text


def test_single_images_are_named_and_chosen_as_the_scores_say(image_model, image_page):
    model, X, y, _ = image_model
    unusual = np.argsort(model.score_samples(X[:110]), kind="stable")
    extreme = [row[0] for row in image_page.table("Least likely")[1:]]
    assert extreme == [f"scan <{i}>.png" for i in unusual[:10]]
    shown = [int(row[0][6:-5]) for row in image_page.table("Most uncertain")[1:]]
    doubt = entropy(model.predict_proba(X[:110]), axis=1)
    assert (y[:110][shown] == -1).all()
    assert (np.diff(doubt[shown]) <= 1e-12).all()


def test_names_come_one_to_a_row(image_model, tmp_path):
    model, X, y, _ = image_model
    with pytest.raises(ValueError, match="X has 110 rows but names has 3"):
        write_report(model, X[:110], y[:110], tmp_path / "page.html", names=["a", "b", "c"])


COLUMNS = {"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"], "c": [4, 5, 6]}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(COLUMNS, index=[7, 7, 7]),
        pl.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        [[1.0, "x", 4], [2.0, "y", 5], [3.0, "z", 6]],
        np.array([[1.0, "x", 4], [2.0, "y", 5], [3.0, "z", 6]], dtype=object),
    ],
    ids=["pandas", "polars", "pyarrow", "list", "numpy"],
)
def test_cells_are_picked_from_any_table(table):
    assert pick(table, np.array([2, 0]), [1, 2]) == [["z", 6], ["x", 4]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "−0.500"),
        (1234567.0, "1.23e+06"),
        (0.00012, "0.00012"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_the_decimals_that_matter(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(16614.2, "16,614"), (-2.5, "−2.5"), (0.0651149, "0.06511"), (18, "18")]
)
def test_data_have_four_significant_digits(value, text):
    assert significant(value) == text
