"""Loading of a spec: its files are read and merged, and the validated table is built."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from resnetgen.errors import Code, LimitError, Problems, Source, Span, SpecError, did_you_mean
from resnetgen.paths import real_path
from resnetgen.preprocess import Preprocess
from resnetgen.spec import json_schema
from resnetgen.spec.construct import make_block, make_defaults, make_row, patch_row
from resnetgen.spec.expressions import USABLE, is_usable
from resnetgen.spec.find import checked_name, find_library, find_parent, name_of, short_path
from resnetgen.spec.preprocess_keys import check_resize, make_preprocess
from resnetgen.spec.rows import parse_row, parse_size
from resnetgen.spec.sources import Sources
from resnetgen.spec.syntax import Size
from resnetgen.spec.table import Block, Row, Spec
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value

_MAX_CHAIN = 32
"""Limit of the length of a chain of files that extend each other."""


def load_file(path: Path, params: dict[str, int | float] | None = None, shown: str | None = None) -> Spec:
    """Load the spec of a file, with `--set` values in place of its own parameters.

    Raises Failure with every problem found in the spec's own files.
    """
    problems = Problems()
    merged = _Merged()
    document = merged.read(path, shown, (), problems)
    return merged.build(name_of(path), document.span, params or {}, problems)


def load_text(text: str, name: str, params: dict[str, int | float]) -> Spec:
    """Load the spec of a text; `name` becomes the spec's name. Raises Failure like `load_file`."""
    problems = Problems()
    merged = _Merged()
    path = Path(f"{checked_name(name)}.yaml")
    merged.files.add(path, Source(name, text))
    document = merged.read(path, None, (), problems)
    return merged.build(name, document.span, params, problems)


def load_block(row: str, input_size: str) -> Spec:
    """Return the spec of a single row of the command line, with the defaults of `std`. Raises Failure."""
    merged = _Merged()
    written = option_value("--block", row)
    merged.use(option_value("--block", "std"), Path())
    merged.patch(option_value("--block", "block"), written)
    merged.keys["input"] = option_value("--input", input_size)
    return merged.build("block", written.span, {}, Problems())


def option_value(option: str, text: str) -> Scalar:
    """Return a value of the command line, with the option as its place."""
    return Scalar(text, Span(Source(option, text), 0, len(text)), plain=False)


def parse_input_size(value: Scalar) -> Size:
    """Return channels x height x width of an image: 3x224x224. Raises SpecError."""
    size = parse_size(value)
    if len(size.extents) != 3:
        hint = "channels x height x width: 3x224x224"
        raise SpecError.of(Code.BAD_VALUE, f"an input of {size} lacks its channels", value.span, hint)
    return size


class _Merged(Struct):
    """Merged keys of all files read so far; a later file overrides an earlier one."""

    keys: dict[str, Value] = field(default_factory=dict)
    params: dict[str, Value] = field(default_factory=dict)
    defaults: Mapping | None = None
    preprocess: Mapping | None = None
    resized_for: Value | None = None
    """Input of the spec that sets `preprocess.resize`, which is scaled for another input."""
    blocks: dict[str, tuple[Scalar, Mapping]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    files: Sources = field(default_factory=Sources)
    libraries: set[Source] = field(default_factory=set)
    """Library files whose keys have been checked."""

    def read(
        self, path: Path, shown: str | None, chain: tuple[Path, ...], problems: Problems, named: Span | None = None
    ) -> Mapping:
        """Merge a spec: first the one that it extends, then the libraries that it uses, then its own keys."""
        source, document = self.files.read(path, shown, named)
        if not json_schema.check(document, json_schema.SPEC, "a spec", problems):
            problems.raise_if_any()
        chain = (*chain, real_path(path))
        if isinstance(parent := document.get("extends"), Scalar):
            parent_path = find_parent(parent.text, parent.span, path)
            self._check_chain(parent_path, chain, parent.span)
            self.read(parent_path, short_path(parent_path), chain, problems, parent.span)
        inherited = self._resize
        self.use(document.get("use"), path)
        self.sources.append(source)
        self.merge(document)
        for key in ("name", "names", "input"):
            if (value := document.get(key)) is not None:
                self.keys[key] = value
        if self._resize is not inherited:
            self.resized_for = self.keys.get("input")
        if isinstance(params := document.get("params"), Mapping):
            self.params |= {key.text: value for key, value in params}
        if isinstance(stages := document.get("stages"), Mapping):
            for stage, value in stages:
                with problems:
                    self.patch(stage, value)
        return document

    def _check_chain(self, path: Path, chain: tuple[Path, ...], span: Span) -> None:
        resolved = real_path(path)
        if resolved in chain:
            names = " -> ".join(each.name for each in (*chain[chain.index(resolved) :], resolved))
            message = f"this spec extends itself: {names}"
            raise SpecError.of(Code.EXTENDS_CYCLE, message, span, "remove one `extends`")
        if len(chain) >= _MAX_CHAIN:
            raise LimitError.of(Code.LIMIT, f"more than {_MAX_CHAIN} specs extend one another", span)

    def use(self, value: Value | None, user: Path) -> None:
        words = value.items if isinstance(value, Sequence) else (value,) if value else ()
        for word in words:
            assert isinstance(word, Scalar)
            path = find_library(word.text, word.span, user)
            source, document = self.files.read(path, short_path(path), word.span)
            if source not in self.libraries:
                problems = Problems()
                json_schema.check(document, json_schema.LIBRARY, "a library file", problems)
                problems.raise_if_any()
                self.libraries.add(source)
            self.sources.append(source)
            self.merge(document)

    def merge(self, document: Mapping) -> None:
        if isinstance(defaults := document.get("defaults"), Mapping):
            self.defaults = _deep_merge(self.defaults, defaults)
        if (preprocess := document.get("preprocess")) is not None:
            self.preprocess = _deep_merge(self.preprocess, preprocess) if isinstance(preprocess, Mapping) else None
        if isinstance(blocks := document.get("blocks"), Mapping):
            for key, block in blocks:
                assert isinstance(block, Mapping)
                self.blocks[key.text] = (key, block)

    @property
    def _resize(self) -> Value | None:
        return self.preprocess.get("resize") if self.preprocess else None

    def patch(self, stage: Scalar, value: Value) -> None:
        """Merge one row: a complete one replaces the cells of the row with its name, a mapping replaces single
        fields."""
        old = self.rows.get(stage.text)
        if isinstance(value, Mapping):
            if old is None and not value.items.keys() & {"pre", "block", "post"}:
                hint = did_you_mean(stage.text, self.rows) or "write the whole row"
                raise SpecError.of(Code.BAD_PATCH, f"there is no row {stage.text!r} to patch", stage.span, hint)
            self.rows[stage.text] = patch_row(old, stage, value)
        elif isinstance(value, Scalar) and value.value is None:
            if old is None:
                hint = (
                    json_schema.QUOTE_COMMAS if json_schema.lacks_colon(stage) else did_you_mean(stage.text, self.rows)
                )
                hint = hint or "there are no rows yet: remove it"
                raise SpecError.of(Code.BAD_PATCH, f"there is no row {stage.text!r} to leave out", stage.span, hint)
            del self.rows[stage.text]
        else:
            assert isinstance(value, Scalar)
            line = parse_row(value)
            size = line.size or (old.size if old else None)
            self.rows[stage.text] = make_row(stage.text, value.span, size, line.cells)

    def build(self, name: str, span: Span, params: dict[str, int | float], problems: Problems) -> Spec:
        """Return the spec of the merged keys; `span` is the place shown for a missing key."""
        if not self.rows and not problems.found:
            problems.add(Code.MISSING_KEY, "the spec has no rows", span, "add `stages:`, a row for each stage")
        if not isinstance(self.keys.get("input"), Scalar):
            problems.add(
                Code.MISSING_KEY, "the spec has no key 'input'", span, "add the size of the image: `input: 3x224x224`"
            )
        params = self._params(params, problems)
        blocks = dict[str, Block]()
        for key, mapping in self.blocks.values():
            with problems:
                blocks[key.text] = make_block(key, mapping)
        with problems:
            defaults = make_defaults(self.defaults, blocks.keys() | self.blocks.keys(), span)
        if isinstance(written := self.keys.get("input"), Scalar):
            with problems:
                size = parse_input_size(written)
                preprocess = self._preprocess(size)
        problems.raise_if_any()
        title = self.keys.get("name")
        names = self.keys.get("names")
        return Spec(
            name=name,
            title=title.text if isinstance(title, Scalar) else name,
            span=title.span if title else span,
            input=size,
            preprocess=preprocess,
            params=params,
            names=names if isinstance(names, Scalar) and names.value is not None else None,
            defaults=defaults,
            blocks=blocks,
            rows=tuple(self.rows.values()),
            sources=tuple(self.sources),
        )

    def _preprocess(self, size: Size) -> Preprocess | None:
        if self.preprocess is None:
            return None
        preprocess = make_preprocess(self.preprocess, size)
        if isinstance(self.resized_for, Scalar):
            _, height, width = parse_input_size(self.resized_for).extents
            preprocess = replace(preprocess, crop=(height, width)).at(preprocess.crop)
        check_resize(preprocess, self.preprocess)
        return preprocess

    def _params(self, params: dict[str, int | float], problems: Problems) -> dict[str, int | float]:
        values: dict[str, int | float] = {}
        for name, value in self.params.items():
            assert isinstance(value, Scalar)
            assert isinstance(value.value, int | float)
            values[name] = value.value
            if not is_usable(value.value):
                problems.add(Code.BAD_VALUE, f"the value of {name} is too large", value.span, USABLE)
        for name, number in params.items():
            if name not in values:
                hint = did_you_mean(name, values) if values else "this spec has no parameters"
                problems.add(Code.UNKNOWN_PARAMETER, f"--set {name}: the spec has no such parameter", None, hint)
            elif not is_usable(number):
                message = f"--set {name}: the value is not a number, or too large"
                problems.add(Code.BAD_VALUE, message, None, USABLE)
        return values | params


def _deep_merge(old: Mapping | None, new: Mapping) -> Mapping:
    if old is None:
        return new
    items = dict(old.items)
    for key, value in new:
        before = old.get(key.text)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _deep_merge(before, value)
        items[key.text] = (key, value)
    return Mapping(items, new.span)
