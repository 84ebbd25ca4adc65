"""JSON values in text that is cut anywhere, against `json.loads` of the whole."""

import json
import pickle
import time
from functools import partial
from typing import Any, NewType

import attrs
import pytest
from hypothesis import example, given, settings, strategies as st
from tests.core.virtual import run
from tests.strategies import _units, cuts, json_values, texts, unicode_texts

from genesys_stream._core.reading.artifacts import ArtifactReader
from genesys_stream._core.reading.json_path import parse_path, spelled
from genesys_stream._core.reading.json_scanner import ArtifactScanner
from genesys_stream._core.relaying.batcher import Batcher
from genesys_stream._core.relaying.coalescers.artifacts import JsonArtifact
from genesys_stream._errors import InvalidArgument, ParseError
from genesys_stream._values import Artifact
from genesys_stream._wire import join_surrogates

PROSE = ["", "Sure! Here it is:\n```json\n", "\n", "\ufeff", "It's “this”: ", "\\"]
AFTER = ["", "\n```\nThat's all.", "  \n", '"']
DIALECTS = [{}, {"indent": 2}, {"ensure_ascii": False}, {"ensure_ascii": False, "separators": (",", ":")}]


@attrs.frozen
class City:
    name: str
    people: int = 0


def scan(pieces, *args, **kwargs):
    """All the artifacts of a text in pieces, which a scanner must have been left by as new."""
    scanner = ArtifactScanner(*args, **kwargs)
    found = [artifact for piece in pieces for artifact in scanner.feed(piece)] + scanner.close()
    assert not scanner.close()
    assert not scanner.seen
    return found


def in_any_cut(text):
    """The text in pieces, cut anywhere, even in the middle of a surrogate pair; or in single code units."""
    halves = "".join(_units(text))
    return cuts(halves) | st.just(list(halves))


class Feeder:
    """A coalescer for which no time passes."""

    def __init__(self, *args, **kwargs):
        self._batcher = Batcher(JsonArtifact(*args, **kwargs))

    def feed(self, text):
        return self._batcher.feed(text, 0)


def said(artifacts):
    return [(artifact.text, artifact.complete) for artifact in artifacts]


@st.composite
def documents(draw, path):
    """A JSON document with an array at `path`, among other things and other text."""
    value = draw(st.lists(json_values, max_size=4))
    for segment in reversed(path):
        if isinstance(segment, int):
            value = [
                *draw(st.lists(json_values, min_size=segment, max_size=segment)),
                value,
                *draw(st.lists(json_values)),
            ]
        else:
            around = draw(st.dictionaries(texts | st.sampled_from(["items", "a.b", "\\"]), json_values, max_size=3))
            before = {key: item for key, item in around.items() if key != segment and draw(st.booleans())}
            after = {key: item for key, item in around.items() if key not in before and key != segment}
            value = {**before, segment: value, **after}
    text = (
        draw(st.sampled_from(PROSE))
        + json.dumps(value, **draw(st.sampled_from(DIALECTS)))
        + draw(st.sampled_from(AFTER))
    )
    if draw(st.booleans()):  # any character of a key may be escaped
        text = text.replace('"items"', r'"\u0069tem\u0073"')
    return text


def at(value, path):
    for segment in path:
        value = value[segment]
    return value


class TestElements:
    @pytest.mark.parametrize(
        "path",
        ["$", "items", "result.items", "choices[0].rows", "[2][0]", '$["a.b"]', '["items"].items', '$["👩\\u200d💻"]'],
    )
    @settings(max_examples=50)  # for each path
    @given(data=st.data())
    def test_every_element_of_any_document(self, path, data):
        """The elements are those of the whole document, however it is written, surrounded and cut."""
        text = join_surrogates(data.draw(documents(parse_path(path))))
        begin = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=0)
        whole, _ = json.JSONDecoder(strict=False).raw_decode(text[begin:])
        expected = at(whole, parse_path(path))
        pieces = data.draw(in_any_cut(text))
        found = scan(pieces, "element", path)

        assert expected == [json.loads(artifact.text, strict=False) for artifact in found]
        assert all(artifact.complete for artifact in found)
        assert [f"{spelled(parse_path(path))}[{i}]" for i in range(len(found))] == [a.path for a in found]
        assert list(range(len(found))) == [artifact.index for artifact in found]

    def test_at_the_earliest(self):
        """A value is there with its last character, a number or a literal with the one behind it."""
        scanner = ArtifactScanner("element")
        there = [(char, artifact.text) for char in '[{"a":[1]}, "b" ,12,true ,[]]' for artifact in scanner.feed(char)]

        assert there == [("}", '{"a":[1]}'), ('"', '"b"'), (",", "12"), (" ", "true"), ("]", "[]")]

    @pytest.mark.parametrize(
        ("path", "text", "expected"),
        [
            ("items", '{"x": {"items": [1]}, "items": [2]}', ["2"]),
            ("items", '{"x": [{"items": [1]}], "y": "items", "items": [2]}', ["2"]),
            ("items", '{"items": {"items": [1]}}', []),
            ("items", '[{"items": [1]}]', []),
            ("items", '{"items": "[1]", "other": [2]}', []),
            ("items", '{"item": [1], "items2": [2], "ITEMS": [3]}', []),
            ("items", '{"items": [1]} {"items": [2]}', ["1", "2"]),
            ("items", '{"items": [1], "items": [2]}', ["1", "2"]),
            ("a.items", '{"items": [1], "a": [2], "a": {"b": [3], "items": [4]}}', ["4"]),
            ("[1]", "[[1], [2], [3]]", ["2"]),
            ("[1]", '[1, [2], {"1": [3]}]', ["2"]),
            ("$", '{"a": [1]} [2]', ["2"]),
            ("$", "[[1, 2], [[3]]]", ["[1, 2]", "[[3]]"]),
            ("items", r'{"\u0069tems": [1]}', ["1"]),
            ("items", r'{"\items": [1], "\uitem": [2]}', []),
            ("é", r'{"\u00e9": [1], "é": [2]}', ["1", "2"]),
            ("items", "{" + f'"{"items" * 50}": [1], "{"x" * 500}": [2], "items": [3]' + "}", ["3"]),
        ],
    )
    def test_paths(self, path, text, expected):
        """Only the array at the path counts: no other depth, no other key, no string."""
        assert expected == [artifact.text for artifact in scan([text], "element", path)]
        assert expected == [artifact.text for artifact in scan(text, "element", path)]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[1,,2,]", ["1", "2"]),
            ("[1 2]", ["1", "2"]),
            ('[{"a":1} {"b":2}]', ['{"a":1}', '{"b":2}']),
            ("[{]]", ["{]"]),
            ('["a\nb"]', ['"a\nb"']),
            ("[nonsense, 'x']", ["nonsense", "'x'"]),
            ("]}[1]", ["1"]),
            ("[1}[2]", ["1", "2"]),
            ('["a":1]', ['"a"', "1"]),
        ],
    )
    def test_faults(self, text, expected):
        """What is not quite JSON is given as its brackets and quotes stand; separators are not asked for."""
        assert [(e, True) for e in expected] == said(scan([text], "element"))
        assert [(e, True) for e in expected] == said(scan(text, "element"))

    @pytest.mark.parametrize(
        "text", ['{"items" [1]}', '{"a" "items": 1 [2]}', '{[1], "items": [2]', '{"items"', "{items: [1]}"]
    )
    def test_faults_around(self, text):
        """Faults along the path do no harm: what cannot be told to be at it is skipped."""
        assert {"2", "1"} >= {artifact.text for artifact in scan(text, "element", "items")}

    @pytest.mark.parametrize("rest", ["12", "tru", '"a', '"a\\', '{"a":1', "[", '{"a}', '[{"b":"\\"'])
    def test_the_unfinished_rest(self, rest):
        """What has begun and is not over at the end is given as incomplete."""
        for text in ["[0," + rest], "[0," + rest:
            assert [("0", True), (rest, False)] == said(scan(text, "element"))

    @pytest.mark.parametrize(
        "text", ["[0,", "[0", '{"items":[0],"x', '{"items":[0],"x":"y', '{"items":[0],"x":[1', "[0] or ["]
    )
    def test_no_rest(self, text):
        """Nothing is given for what has not begun, or is not at the path."""
        path = "items" if text.startswith("{") else "$"

        assert scan(text, "element", path)[1:] == []


class TestValues:
    @given(data=st.data(), values=st.lists(st.lists(json_values) | st.dictionaries(texts, json_values), max_size=3))
    def test_every_value(self, data, values):
        """Objects and arrays are found among any other text, as they were said, and where they were said."""
        prose = unicode_texts.map(lambda text: join_surrogates(text).replace("[", "(").replace("{", "("))
        parts = [
            part
            for value in values
            for part in (data.draw(prose), json.dumps(value, **data.draw(st.sampled_from(DIALECTS))))
        ]
        text = join_surrogates("".join(parts))
        found = scan(data.draw(in_any_cut(text)), "value")
        raw = text.encode()

        assert values == [] or [join_surrogates(part) for part in parts[1::2]] == [artifact.text for artifact in found]
        assert all(artifact.complete and artifact.path == "$" for artifact in found)
        assert [artifact.text.encode() for artifact in found] == [
            raw[artifact.offset : artifact.end] for artifact in found
        ]

    @pytest.mark.parametrize("scalar", ['"a"', '"\\"é"', "0", "-12.5e+3", "true", "false", "null"])
    def test_a_scalar_alone(self, scalar):
        """A text that is nothing but a scalar is a value; that shows at its end."""
        for text in [f" \n{scalar}\n"], f" \n{scalar} ":
            (artifact,) = scan(text, "value")
            assert (scalar, True, 2, 0) == (artifact.text, artifact.complete, artifact.offset, artifact.index)

    @pytest.mark.parametrize(
        "text", ["", " ", "none", "12 of them", "true, that", '"a" or "b"', '"a', "-", "NaN", "\ufeff1"]
    )
    def test_prose(self, text):
        """Text without a bracket is prose, even if it begins like a scalar."""
        assert [] == scan(text, "value") == scan([text], "value")

    def test_a_bracket_ends_the_hope_for_a_scalar(self):
        """A bracket opens a value, whatever the text began with."""
        assert [("{}", True)] == said(scan(['"a {} b"'], "value")) == said(scan('"a {} b"', "value"))

    @pytest.mark.parametrize("text", ["{", '{"a": "}', "[[]", '["\\', "[{"])
    def test_the_unfinished_rest(self, text):
        """A value that is not over at the end is given as incomplete, white space and all."""
        assert [(text + " ", False)] == said(scan(["It is: " + text + " "], "value"))


class TestLines:
    @given(data=st.data(), values=st.lists(json_values, max_size=5))
    def test_every_line(self, data, values):
        """Each line's value is found, whatever the newlines, blank lines and white space, and without the last newline."""
        dialects = st.sampled_from([{}, {"ensure_ascii": False}])
        lines = [json.dumps(value, **data.draw(dialects)) for value in values]
        lines = [line for line in lines if not line.endswith("Infinity")]  # Python's own, and prose as a line
        newlines = st.sampled_from(["\n", "\r\n", "\n\n", "\r\n \t\r\n", "\n```json\n", " \nSure:\n1. see\n"])
        text = join_surrogates(
            "".join(data.draw(newlines) + line for line in lines) + data.draw(st.sampled_from(["", "\n"]))
        )
        found = scan(data.draw(in_any_cut(text)), "ndjson")

        assert [join_surrogates(line) for line in lines] == [artifact.text for artifact in found]
        assert all(artifact.complete for artifact in found)
        assert list(range(len(found))) == [artifact.index for artifact in found]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"a": }\n"b\n[1\n', [('{"a": }', True), ('"b', True), ("[1", True)]),
            ('{"a":1}\n{"a"', [('{"a":1}', True), ('{"a"', False)]),
            ('{"a":1}\n{"a":1} \r', [('{"a":1}', True), ('{"a":1}', True)]),
            ("1\n12", [("1", True), ("12", True)]),
            ("1\ntru", [("1", True)]),
            ("truest\nnull \n", [("null", True)]),
            ("[" * 100_000, [("[" * 100_000, False)]),
        ],
    )
    def test_faults_and_ends(self, text, expected):
        """A line with a fault is given as it is; the last one without its newline is complete if it is JSON."""
        assert expected == said(scan([text], "ndjson")) == said(scan(text, "ndjson"))


class TestBounds:
    @pytest.mark.parametrize("args", [("value",), ("element",), ("element", "a"), ("ndjson",)], ids=str)
    @given(
        data=st.data(),
        text=st.lists(st.sampled_from([*list('[]{}":,\\ \n1ta'), '"a":[', "👩", "\ud83d", "\ude00"])).map("".join),
    )
    @example(data=None, text='[[[[[1,"aaaa"]\n]]]],2')
    def test_cuts_do_not_matter(self, args, data, text):
        """The same garbage gives the same artifacts, however it is cut, in order and within the bound."""
        pieces = list(text) if data is None else data.draw(in_any_cut(text))
        found = scan(pieces, *args, max_bytes=6)
        raw = join_surrogates(text).encode()

        assert found == scan([text], *args, max_bytes=6)
        at = 0
        for artifact in found:
            assert at <= artifact.offset < artifact.end <= artifact.offset + 6
            assert raw[artifact.offset : artifact.end] == artifact.text.encode()
            at = artifact.end

    @pytest.mark.parametrize(
        ("args", "text", "expected"),
        [
            (("value",), '{"a":"👩"} {}', [('{"a":"', False), ("{}", True)]),
            (("value",), "[👩👩] []", [("[👩", False), ("[]", True)]),
            (("element",), '["abcdef", 1]', [('"abcde', False), ("1", True)]),
            (("element",), "[1234567, 1]", [("123456", False), ("1", True)]),
            (("ndjson",), '{"a":12}\n{}\n', [('{"a":1', False), ("{}", True)]),
            (("ndjson",), "It is so.\n{}    ", [("{}", True)]),
            (("ndjson",), "{}     \n1", [("{}", False), ("1", True)]),
            (("value",), "1234567", []),
        ],
    )
    def test_what_is_too_large(self, args, text, expected):
        """Of a value beyond the bound as much is given, as incomplete; what follows it is found."""
        assert expected == said(scan([text], *args, max_bytes=6)) == said(scan(text, *args, max_bytes=6))

    def test_no_depth_is_too_deep(self):
        """The scanner counts brackets; what `json` cannot follow is a ParseError."""
        deep = "[" * 200_000 + "]" * 200_000
        (artifact,) = scan([deep], "value")

        assert (deep, True) == (artifact.text, artifact.complete)
        with pytest.raises(ParseError, match="RecursionError"):
            _ = artifact.value

    def test_a_string_of_escapes(self):
        """A string may have any number of escapes, in one piece or in many."""
        text = json.dumps("\n\\" * 1000)

        assert [(text, True)] == said(scan([f"[{text}]"], "element")) == said(scan(f"[{text}]", "element"))

    @pytest.mark.parametrize(
        "make",
        [
            partial(ArtifactScanner, "value"),
            partial(ArtifactScanner, "element", "items"),
            partial(ArtifactScanner, "ndjson"),
            partial(Feeder, "value"),
            partial(Feeder, "element", "items"),
        ],
        ids=lambda make: f"{make.func.__name__}{make.args}",
    )
    @pytest.mark.parametrize("size", [1, 8, 100_000_000])
    def test_linear(self, make, size):
        """Ten times the text takes ten times the time, not a hundred, however it is cut."""

        def seconds(count):
            row = json.dumps({"id": 1, "name": 'a "fine" name ' * 3, "tags": ["a", 2, None]})
            text = row * count if make.args == ("ndjson",) else '{"items": [' + ",".join([row] * count) + "]}"
            best = 1e9
            for _ in range(3):
                machine = make(max_bytes=2**30)
                begin = time.thread_time()
                for at in range(0, len(text), size):
                    machine.feed(text[at : at + size])
                best = min(best, time.thread_time() - begin)
            return best

        assert seconds(500) < 40 * seconds(50)


class TestArguments:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("", ()),
            ("$", ()),
            ("$.a", ("a",)),
            ("a.b c.$d", ("a", "b c", "$d")),
            ("a[0][12].b", ("a", 0, 12, "b")),
            ('["a.\\"b"].c', ('a."b', "c")),
            ('$[""]', ("",)),
            ("$a", ("$a",)),
        ],
    )
    def test_paths(self, path, expected):
        """A path is keys and indices; it can be written again."""
        assert expected == parse_path(path)
        assert expected == parse_path(spelled(expected))

    @pytest.mark.parametrize(
        "path", [".", "a.", "a..b", ".a", "a[", "a[-1]", "a[*]", "a[x]", '["\\x"]', "a[0]b", "]", None, 1]
    )
    def test_no_paths(self, path):
        """What is no path is refused."""
        with pytest.raises(InvalidArgument, match="path"):
            ArtifactScanner("element", path)

    @pytest.mark.parametrize(
        ("args", "name"),
        [
            ({"mode": "lines"}, "mode"),
            ({"mode": "ndjson", "path": "a"}, "path"),
            ({"mode": "value", "max_bytes": 3}, "max_bytes"),
            ({"mode": "value", "max_bytes": "9"}, "max_bytes"),
            ({"mode": "value", "max_bytes": True}, "max_bytes"),
        ],
    )
    @pytest.mark.parametrize("make", [ArtifactScanner, JsonArtifact])
    def test_refused(self, make, args, name):
        """An argument of the wrong kind is named."""
        with pytest.raises(InvalidArgument) as caught:
            make(**args)

        assert caught.value.argument == name


class TestArtifact:
    def test_values(self):
        """An artifact is parsed into anything, and where it ends counts UTF-8 bytes."""
        artifact = Artifact('{"name":"Köln"}', 7)

        assert artifact.value == {"name": "Köln"}
        assert City("Köln") == artifact.parse(City)
        assert artifact.end == 23
        assert artifact == pickle.loads(pickle.dumps(artifact))

    def test_repr_hides_text(self):
        """A repr tells how long the text is, never what it says."""
        assert (
            repr(Artifact('{"name":"Köln"}'))
            == "Artifact(text=<15 characters>, offset=0, index=0, complete=True, path='$')"
        )

    def test_incomplete(self):
        """What is incomplete is not parsed, even if it could be."""
        with pytest.raises(ParseError, match=r"artifact 3 at \$\[3\] is incomplete") as caught:
            _ = Artifact("12", index=3, complete=False, path="$[3]").value

        assert caught.value.text == "12"

    @pytest.mark.parametrize(
        ("text", "reason"), [('{"name": 5}', "name: expected str, got int"), ("{}", "the field 'name' is missing")]
    )
    def test_fields(self, text, reason):
        """An error names the place and the fields, and has the text for who asks for it."""
        with pytest.raises(ParseError) as caught:
            Artifact(text, path="$.items[0]").parse(City)

        assert "at $.items[0]" in str(caught.value)
        assert any(reason in field for field in caught.value.fields)
        assert text == caught.value.text


class TestReader:
    TEXT = 'Here:\n{"items": [{"name": "A"}, {"name": "B", "people": 2}], "next": null}\n'

    @given(pieces=in_any_cut(TEXT))
    def test_reads(self, pieces):
        """Each element comes as the class that was asked for, and the end adds nothing."""
        reader = ArtifactReader("items", City)

        assert [City("A"), City("B", 2)] == [city for piece in pieces for city in reader.feed(piece)]
        assert [] == reader.close() == reader.close()

    def test_empty(self):
        """An array without elements is fine."""
        reader = ArtifactReader("items", City)

        assert [] == reader.feed('{"items": []') == reader.close()

    @pytest.mark.parametrize("into", [5, "City", None, [City], City("Ulm")])
    def test_no_class(self, into):
        """What nothing can be read into is refused when it is given."""
        with pytest.raises(InvalidArgument) as caught:
            ArtifactReader("$", into)

        assert caught.value.argument == "into"

    @pytest.mark.parametrize("into", [Any, int | None, list[int], int, NewType("Count", int)])
    def test_forms_of_typing(self, into):
        """A form of typing does as well as a class."""
        reader = ArtifactReader("$", into)
        value = [5] if into == list[int] else 5

        assert reader.feed(json.dumps([value])) == [value]

    def test_what_was_good_comes_first(self):
        """An element that does not parse is raised after those before it, and those behind it still come."""
        reader = ArtifactReader("$", City)

        assert [City("A")] == reader.feed('[{"name":"A"}, {"name":1}, {"name":"B"}, {}]')
        with pytest.raises(ParseError, match=r"at \$\[1\]") as caught:
            reader.feed("")
        assert caught.value.text == '{"name":1}'
        assert [City("B")] == reader.feed("")
        with pytest.raises(ParseError, match=r"at \$\[3\]"):
            reader.close()
        assert reader.close() == []

    @pytest.mark.parametrize(
        ("text", "rest", "reason"),
        [
            ('[{"name":"A"}, {"name', '{"name', "incomplete"),
            ('[{"name":"A"},', "", "inside the array at '\\$'"),
            ('[{"name":"A"}', "", "inside the array at '\\$'"),
        ],
    )
    def test_an_end_too_soon(self, text, rest, reason):
        """A text that ends inside the array is an error, with what there is of the unfinished element."""
        reader = ArtifactReader("$", City)

        assert [City("A")] == reader.feed(text)
        with pytest.raises(ParseError, match=reason) as caught:
            reader.close()
        assert rest == caught.value.text
        assert reader.close() == []

    @pytest.mark.parametrize("text", ["", "I am sorry.", '{"items": {}}', '{"items"'])
    def test_no_array(self, text):
        """A text without the array is an error, or else a wrong path would look like an empty list."""
        reader = ArtifactReader("items", City)

        assert reader.feed(text) == []
        with pytest.raises(ParseError, match="no array at 'items'"):
            reader.close()

    def test_too_large(self):
        """An element beyond the bound is an error."""
        with pytest.raises(ParseError, match="too large"):
            ArtifactReader("$", City, max_bytes=10).feed('[{"name": "abc"}]')


class TestCoalescer:
    """`JsonArtifact`; test_coalescers.py has what holds for every strategy."""

    @pytest.mark.parametrize(
        ("args", "text", "texts", "values"),
        [
            (
                ("element", "items"),
                'Here:\n{"items": [{"a": 1}, 2, "c"]}\nDone',
                ['Here:\n{"items": [{"a": 1}', ", 2", ', "c"', "]}\nDone"],
                [[{"a": 1}], [2], ["c"], []],
            ),
            (("value",), "So: {} and [1]", ["So: {}", " and [1]"], [[{}], [[1]]]),
            (("ndjson",), '{}\r\n\n"a"\nend', ["{}\r\n", '\n"a"\n', "end"], [[{}], ["a"], []]),
            (("ndjson",), "{}\n[1]", ["{}\n", "[1]"], [[{}], [[1]]]),
            (("value",), " 12", [" 12"], [[12]]),
            (("value",), "[\ud83d]", ["[\ufffd]"], None),
        ],
    )
    def test_batches(self, args, text, texts, values):
        """A batch for each value, with what was before it; the artifact is the value alone; the rest is final."""
        for pieces in [text], text:
            sent = [s.batch for s in run(JsonArtifact(*args), [(piece, 0) for piece in pieces]).sent]

            assert texts == [batch.text for batch in sent]
            assert values is None or values == [[a.value for a in batch.artifacts] for batch in sent]

    def test_the_unfinished_tail(self):
        """What is not over at the end is final, and an artifact that is incomplete."""
        batch, last = (s.batch for s in run(JsonArtifact("element"), [('[1, {"a"', 0)]).sent)

        assert said(batch.artifacts) == [("1", True)]
        assert (last.text, said(last.artifacts)) == (', {"a"', [('{"a"', False)])

    def test_max_latency(self):
        """A value that takes long is sent in parts, and is an artifact of its last one."""
        result = run(
            JsonArtifact("element", max_latency=1), [("[12", 0), (",", 2), ('"abc', 3), ('"', 4.5), ("]", 4.5)]
        )

        assert result.texts == ["[12", ",", '"abc', '"', "]"]
        assert [[a.text for a in s.batch.artifacts] for s in result.sent] == [[], ["12"], [], ['"abc"'], []]
        assert [s.at for s in result.sent] == [1, 3, 4, 4.5, 4.5]

    def test_max_bytes(self):
        """A batch is never larger than it may be: a value that does not fit behind what is before it comes in parts."""
        for pieces in ['[   "abcd", "abcdefgh",1]'], '[   "abcd", "abcdefgh",1]':
            result = run(JsonArtifact("element", max_bytes=8), [(piece, 0) for piece in pieces])

            assert result.texts == ['[   "abc', 'd"', ', "abcde', 'fgh",1', "]"]
            artifacts = [said(s.batch.artifacts) for s in result.sent]
            assert artifacts == [[], [('"abcd"', True)], [], [('"abcdefg', False), ("1", True)], []]

    def test_no_cluster_is_cut(self):
        """A value goes with the next batch if a combining mark has joined its end."""
        result = run(JsonArtifact("value"), [("{}\u0301 {}", 0)])

        assert result.texts == ["{}\u0301 {}"]
        assert [[a.text for a in s.batch.artifacts] for s in result.sent] == [["{}", "{}"]]

    @pytest.mark.parametrize("mode", ["value", "element"])
    @given(data=st.data(), value=st.lists(json_values, max_size=8))
    def test_cuts_do_not_matter(self, mode, data, value):
        """The same JSON makes the same batches, however it was cut, for small batches too."""
        text = json.dumps(value, **data.draw(st.sampled_from(DIALECTS[:2])))
        make = partial(JsonArtifact, mode, max_bytes=data.draw(st.sampled_from([4, 10, 1000])))
        whole = run(make(), [(text, 0)])
        pieces = run(make(), [(piece, 0) for piece in data.draw(cuts(text) | st.just(list(text)))])

        assert whole.texts == pieces.texts
        assert [s.batch.artifacts for s in whole.sent] == [s.batch.artifacts for s in pieces.sent]
