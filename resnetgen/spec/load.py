"""Files -> Spec: reads a spec and what it draws on, merges them, and builds the validated table."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnetgen.errors import Code, Exit, Failure, Problems, Source, Span, did_you_mean, fail, spec_error
from resnetgen.spec import schema
from resnetgen.spec.expressions import is_usable
from resnetgen.spec.find import find_library, find_parent, name_of, short_path
from resnetgen.spec.rows import parse_cells, parse_expression, parse_row, parse_size
from resnetgen.spec.syntax import BlockCall, Cell, Expression, Kernel, Number, Size
from resnetgen.spec.table import Block, BracketDefaults, Branches, Case, Cells, Defaults, OpDefaults, Row, Spec
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value, parse, read_source

_MAX_CHAIN = 32
"""How many files may extend or use each other, one behind the other."""


def load(path: Path, settings: dict[str, int | float] | None = None, shown: str | None = None) -> Spec:
    """The spec in a file, with `--set` values in place of its parameters' own.

    Raises Failure that carries every problem found in the spec's own files.
    """
    problems = Problems()
    merged = _Merged()
    document = merged.read(path, shown, (), problems)
    return merged.build(name_of(path), document.span, settings or {}, problems)


@dataclass
class _Merged:
    """The keys of every file read so far; a later file wins."""

    keys: dict[str, Value] = field(default_factory=dict)
    params: dict[str, Value] = field(default_factory=dict)
    defaults: Mapping | None = None
    blocks: dict[str, tuple[Scalar, Mapping]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)

    def read(
        self, path: Path, shown: str | None, chain: tuple[Path, ...], problems: Problems, named: Span | None = None
    ) -> Mapping:
        """Merge a spec: first what it extends, then the libraries it uses, then its own keys."""
        source = read_source(path, shown, named)
        document = parse(source)
        if not schema.check(document, schema.SPEC, "a spec", problems):
            problems.raise_if_any()
        chain = (*chain, path.resolve())
        if isinstance(parent := document.get("extends"), Scalar):
            parent_path = find_parent(parent.text, parent.span, path)
            self._check_chain(parent_path, chain, parent.span)
            self.read(parent_path, short_path(parent_path), chain, problems, parent.span)
        self.use(document.get("use"), path)
        self.sources.append(source)
        self.merge(document)
        for key in ("name", "names", "input"):
            if (value := document.get(key)) is not None:
                self.keys[key] = value
        if isinstance(params := document.get("params"), Mapping):
            self.params |= {key.text: value for key, value in params}
        if isinstance(stages := document.get("stages"), Mapping):
            for stage, value in stages:
                with problems:
                    self.patch(stage, value)
        return document

    def _check_chain(self, path: Path, chain: tuple[Path, ...], span: Span) -> None:
        resolved = path.resolve()
        if resolved in chain:
            names = " -> ".join(each.name for each in (*chain[chain.index(resolved) :], resolved))
            message = f"this spec extends itself: {names}"
            raise spec_error(Code.EXTENDS_CYCLE, message, span, "take one `extends` out")
        if len(chain) >= _MAX_CHAIN:
            raise fail(Exit.LIMIT, Code.LIMIT, f"more than {_MAX_CHAIN} specs extend one another", span)

    def use(self, value: Value | None, user: Path) -> None:
        words = value.items if isinstance(value, Sequence) else (value,) if value else ()
        for word in words:
            assert isinstance(word, Scalar)
            path = find_library(word.text, word.span, user)
            source = read_source(path, short_path(path), word.span)
            document = parse(source)
            problems = Problems()
            schema.check(document, schema.LIBRARY, "a library file", problems)
            problems.raise_if_any()
            self.sources.append(source)
            self.merge(document)

    def merge(self, document: Mapping) -> None:
        if isinstance(defaults := document.get("defaults"), Mapping):
            self.defaults = _deep_merge(self.defaults, defaults) if self.defaults else defaults
        if isinstance(blocks := document.get("blocks"), Mapping):
            for key, block in blocks:
                assert isinstance(block, Mapping)
                self.blocks[key.text] = (key, block)

    def patch(self, stage: Scalar, value: Value) -> None:
        """Merge one row: a whole one replaces the cells of its namesake, a mapping single fields."""
        old = self.rows.get(stage.text)
        if isinstance(value, Mapping):
            if old is None and not value.items.keys() & {"pre", "block", "post"}:
                hint = did_you_mean(stage.text, self.rows) or "write the row whole"
                raise spec_error(Code.BAD_PATCH, f"there is no row {stage.text!r} to patch", stage.span, hint)
            self.rows[stage.text] = _patched(old, stage, value)
        elif isinstance(value, Scalar) and value.value is None:
            if old is None:
                hint = schema.QUOTE_COMMAS if schema.lacks_colon(stage) else did_you_mean(stage.text, self.rows)
                raise spec_error(Code.BAD_PATCH, f"there is no row {stage.text!r} to leave out", stage.span, hint)
            del self.rows[stage.text]
        else:
            assert isinstance(value, Scalar)
            line = parse_row(value)
            size = line.size or (old.size if old else None)
            self.rows[stage.text] = _row(stage.text, value.span, size, line.cells)

    def build(self, name: str, span: Span, settings: dict[str, int | float], problems: Problems) -> Spec:
        """The spec of the merged keys; `span` is where what is missing would stand."""
        if not self.rows and not problems.found:
            problems.add(Code.MISSING_KEY, "a spec has no rows", span, "add `stages:`, a row for each stage")
        if not isinstance(self.keys.get("input"), Scalar):
            problems.add(Code.MISSING_KEY, "a spec has no key 'input'", span, "add the image's size: input: 3x224x224")
        params = self._params(settings, problems)
        blocks = dict[str, Block]()
        for key, mapping in self.blocks.values():
            with problems:
                blocks[key.text] = _block(key, mapping)
        with problems:
            defaults = _defaults(self.defaults, blocks.keys() | self.blocks.keys(), span)
        if isinstance(written := self.keys.get("input"), Scalar):
            with problems:
                size = _input(written)
        problems.raise_if_any()
        title = self.keys.get("name")
        names = self.keys.get("names")
        return Spec(
            name=name,
            title=title.text if isinstance(title, Scalar) else name,
            span=title.span if title else span,
            input=size,
            params=params,
            names=names if isinstance(names, Scalar) and names.value is not None else None,
            defaults=defaults,
            blocks=blocks,
            rows=tuple(self.rows.values()),
            sources=tuple(self.sources),
        )

    def _params(self, settings: dict[str, int | float], problems: Problems) -> dict[str, int | float]:
        params: dict[str, int | float] = {}
        for name, value in self.params.items():
            assert isinstance(value, Scalar)
            assert isinstance(value.value, int | float)
            params[name] = value.value
            if not is_usable(value.value):
                problems.add(Code.BAD_VALUE, f"the value of {name} is absurdly large", value.span)
        for name, number in settings.items():
            if name not in params:
                hint = did_you_mean(name, params) if params else "this spec has no parameters"
                problems.add(Code.UNKNOWN_PARAMETER, f"--set {name}: the spec has no such parameter", None, hint)
            elif not is_usable(number):
                problems.add(Code.BAD_VALUE, f"--set {name}: the value is no number or absurdly large")
        return params | settings


def _input(value: Scalar) -> Size:
    size = parse_size(value)
    if len(size.extents) != 3:
        hint = "channels x height x width: 3x224x224"
        raise spec_error(Code.BAD_VALUE, f"an input of {size} lacks its channels", value.span, hint)
    return size


def _deep_merge(old: Mapping, new: Mapping) -> Mapping:
    items = dict(old.items)
    for key, value in new:
        before = old.get(key.text)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _deep_merge(before, value)
        items[key.text] = (key, value)
    return Mapping(items, new.span)


def _values(mapping: Mapping) -> dict[str, Value]:
    return {key.text: value for key, value in mapping}


# Rows


def _row(stage: str, span: Span, size: Size | None, cells: Cells) -> Row:
    blocks = [i for i, cell in enumerate(cells) if cell.is_block]
    if not blocks:
        return Row(stage, span, size, cells, None, ())
    return Row(stage, span, size, cells[: blocks[0]], cells[blocks[0]], cells[blocks[0] + 1 :])


def _patched(old: Row | None, stage: Scalar, patch: Mapping) -> Row:
    row = old or Row(stage.text, patch.span, None, (), None, ())
    pre, block, post, size = row.pre, row.block, row.post, row.size
    for key, value in patch:
        match key.text:
            case "size":
                assert isinstance(value, Scalar)
                size = parse_size(value)
            case "pre":
                pre = _cells(value)
            case "post":
                post = _cells(value)
            case "block":
                block = _new_block(block, value)
            case "repeat" | "stride":
                if block is None:
                    hint = "add `block:`, or write the row whole"
                    message = f"`{key.text}` belongs to a block, and this row has none"
                    raise spec_error(Code.BAD_PATCH, message, key.span, hint)
                number = _expression(value)
                block = replace(block, repeat=number) if key.text == "repeat" else replace(block, stride=number)
    return Row(stage.text, patch.span, size, pre, block, post)


def _new_block(old: Cell | None, value: Value) -> Cell:
    cells = _cells(value)
    if len(cells) != 1 or not cells[0].is_block:
        hint = "[...], (...) or a name with parentheses; other cells go into `pre` and `post`"
        raise spec_error(Code.BAD_PATCH, "`block` holds one block", value.span, hint)
    new = cells[0]
    if old is None:
        return new
    return replace(new, repeat=new.repeat or old.repeat, stride=new.stride or old.stride)


def _cells(value: Value | None) -> Cells:
    """Cells as text, divided by |, or as a list."""
    match value:
        case None:
            return ()
        case Scalar():
            return parse_cells(value) if value.value is not None else ()
        case Sequence(items):
            return tuple(cell for item in items if isinstance(item, Scalar) for cell in parse_cells(item))
        case Mapping():
            raise AssertionError("the schema lets no mapping through")


def _expression(value: Value) -> Expression:
    assert isinstance(value, Scalar)
    if isinstance(value.value, float):
        return Number(value.value, value.span)
    return parse_expression(value)


# Blocks and defaults


def _block(key: Scalar, mapping: Mapping) -> Block:
    forms = [form for form in ("body", "branches", "choose") if mapping.get(form)]
    if len(forms) != 1:
        hint = "give one of body, branches and choose"
        raise spec_error(Code.MISSING_KEY, f"the block {key.text!r} has {len(forms)} bodies", key.span, hint)
    for name in ("merge", "after"):
        if name in mapping.items and forms != ["branches"]:
            message = f"{name!r} goes with branches, and the block {key.text!r} has none"
            raise spec_error(Code.UNKNOWN_KEY, message, mapping.key(name).span)
    shared = sorted(dict(_entries(mapping.get("params"))).keys() & dict(_entries(mapping.get("let"))).keys())
    if shared:
        message = f"{shared[0]!r} is a parameter of the block {key.text!r}; `let` cannot set it"
        raise spec_error(Code.BAD_NAME, message, key.span, "take another name")
    doc = mapping.get("doc")
    return Block(
        name=key.text,
        span=key.span,
        doc=doc.text if isinstance(doc, Scalar) else "",
        params={name: _default(value) for name, value in _entries(mapping.get("params"))},
        let={name: _expression(value) for name, value in _entries(mapping.get("let"))},
        body=_block_body(key, mapping),
    )


def _block_body(key: Scalar, mapping: Mapping) -> Cells | Branches | tuple[Case, ...]:
    if (body := mapping.get("body")) is not None:
        cells = _cells(body)
        if not cells:
            raise spec_error(Code.BAD_VALUE, f"the body of {key.text!r} is empty", key.span, "body: identity")
        return cells
    if isinstance(cases := mapping.get("choose"), Sequence):
        return _cases(key, cases)
    branches = {name: _cells(value) for name, value in _entries(mapping.get("branches"))}
    merge = mapping.get("merge")
    if not isinstance(merge, Scalar) or len(branches) < 2:
        hint = "branches: {main: ..., shortcut: ...}, merge: add"
        raise spec_error(Code.MISSING_KEY, f"the block {key.text!r} needs two branches and a merge", key.span, hint)
    return Branches(branches, merge.text, _cells(mapping.get("after")))


def _cases(key: Scalar, cases: Sequence) -> tuple[Case, ...]:
    found = tuple(_case(case) for case in cases.items if isinstance(case, Mapping))
    if not found:
        raise spec_error(Code.BAD_VALUE, f"the choice of {key.text!r} is empty", cases.span)
    for case, after in zip(found, cases.items[1:], strict=False):
        if case.condition is None:
            hint = "only the last entry is without `if`"
            raise spec_error(Code.BAD_VALUE, "this entry is never reached", after.span, hint)
    return found


def _case(case: Mapping) -> Case:
    condition = case.get("if")
    return Case(_expression(condition) if condition else None, _cells(case.get("then")))


def _entries(value: Value | None) -> Iterable[tuple[str, Value]]:
    return _values(value).items() if isinstance(value, Mapping) else ()


def _default(value: Value) -> Expression | None:
    return None if isinstance(value, Scalar) and value.value is None else _expression(value)


def _defaults(written: Mapping | None, blocks: Set[str], span: Span) -> Defaults:
    merged = dict(_entries(written))
    parts = dict(_entries(merged.get("bracket")))

    def need(values: dict[str, Value], key: str, where: str) -> Value:
        if key not in values:
            raise spec_error(Code.MISSING_KEY, f"`{where}.{key}` is not set", span, "add `use: std`")
        return values[key]

    return Defaults(
        unit=_words(need(merged, "unit", "defaults"), "conv"),
        norm=_cells(need(merged, "norm", "defaults")),
        act=_cells(need(merged, "act", "defaults")),
        ops=_op_defaults(merged.get("ops")),
        bracket=BracketDefaults(
            stride_on=_stride_on(need(parts, "stride_on", "defaults.bracket")),
            branches=_words(need(parts, "branches", "defaults.bracket"), "main"),
            shortcut=_shortcut(need(parts, "shortcut", "defaults.bracket"), blocks),
            merge=_word(need(parts, "merge", "defaults.bracket")),
            after=_cells(need(parts, "after", "defaults.bracket")),
            last=_words(need(parts, "last", "defaults.bracket"), "conv"),
        ),
    )


def _op_defaults(value: Value | None) -> dict[str, OpDefaults]:
    return {
        key.text: OpDefaults(key.span, tuple((name, item) for name, item in values if isinstance(item, Scalar)))
        for key, values in (value if isinstance(value, Mapping) else ())
        if isinstance(values, Mapping)
    }


def _word(value: Value) -> str:
    assert isinstance(value, Scalar)
    return value.text


def _words(value: Value, needed: str) -> tuple[str, ...]:
    assert isinstance(value, Sequence)
    words = tuple(_word(item) for item in value.items)
    if needed not in words:
        raise spec_error(Code.BAD_VALUE, f"{needed} is missing in this list", value.span)
    for item, word in zip(value.items, words, strict=True):
        if words.count(word) > 1:
            raise spec_error(Code.BAD_VALUE, f"{word} stands twice in this list", item.span, "keep one of them")
    return words


def _shortcut(value: Value, blocks: Set[str]) -> Cells:
    """Cells; the bare name of a block calls it."""
    if isinstance(value, Scalar) and value.text in blocks:
        return (Cell(BlockCall(value.text, (), value.span), None, None, value.span),)
    return _cells(value)


def _stride_on(value: Value) -> str | Kernel:
    assert isinstance(value, Scalar)
    if value.text in ("first", "last"):
        return value.text
    try:
        size = parse_size(value)
    except Failure:
        size = Size((), value.span)
    if len(size.extents) != 2:
        hint = "first, last, or a kernel such as 3x3"
        raise spec_error(Code.BAD_VALUE, f"stride_on cannot be {value.text!r}", value.span, hint)
    height, width = (Number(extent, value.span) for extent in size.extents)
    return Kernel(height, width, value.span)
