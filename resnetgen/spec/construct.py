"""Construction of a table's parts from values: rows and their patches, blocks, defaults."""

from __future__ import annotations

from collections.abc import Iterable, Set

from msgspec.structs import replace

from resnetgen.errors import Code, Failure, Span, SpecError
from resnetgen.spec.rows import parse_cells, parse_expression, parse_size
from resnetgen.spec.syntax import BlockCall, Cell, Expression, Kernel, Number, Size
from resnetgen.spec.table import Block, BracketDefaults, Branches, Case, Cells, Defaults, OpDefaults, Row
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value


def make_row(stage: str, span: Span, size: Size | None, cells: Cells) -> Row:
    blocks = [i for i, cell in enumerate(cells) if cell.is_block]
    if not blocks:
        return Row(stage, span, size, cells, None, ())
    return Row(stage, span, size, cells[: blocks[0]], cells[blocks[0]], cells[blocks[0] + 1 :])


def patch_row(old: Row | None, stage: Scalar, patch: Mapping) -> Row:
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
                    hint = "add `block:`, or write the whole row"
                    message = f"`{key.text}` belongs to a block, and this row has none"
                    raise SpecError.of(Code.BAD_PATCH, message, key.span, hint)
                number = _expression(value)
                block = replace(block, repeat=number) if key.text == "repeat" else replace(block, stride=number)
    return Row(stage.text, patch.span, size, pre, block, post)


def _new_block(old: Cell | None, value: Value) -> Cell:
    cells = _cells(value)
    if len(cells) != 1 or not cells[0].is_block:
        hint = "[...], (...) or a name with parentheses; other cells go into `pre` and `post`"
        raise SpecError.of(Code.BAD_PATCH, "`block` takes one block", value.span, hint)
    new = cells[0]
    if old is None:
        return new
    return replace(new, repeat=new.repeat or old.repeat, stride=new.stride or old.stride)


def _cells(value: Value | None) -> Cells:
    """Return cells from text, divided by |, or from a list."""
    match value:
        case None:
            return ()
        case Scalar():
            return parse_cells(value) if value.value is not None else ()
        case Sequence(items):
            return tuple(cell for item in items if isinstance(item, Scalar) for cell in parse_cells(item))
        case Mapping():
            raise AssertionError("the schema refuses mappings")


def _expression(value: Value) -> Expression:
    assert isinstance(value, Scalar)
    if isinstance(value.value, float):
        return Number(value.value, value.span)
    return parse_expression(value)


def make_block(key: Scalar, mapping: Mapping) -> Block:
    forms = [form for form in ("body", "branches", "choose") if mapping.get(form)]
    if len(forms) != 1:
        hint = "write one of body, branches and choose"
        raise SpecError.of(Code.MISSING_KEY, f"the block {key.text!r} has {len(forms)} bodies", key.span, hint)
    for name in ("merge", "after"):
        if name in mapping.items and forms != ["branches"]:
            message = f"{name!r} is for a block with branches, and {key.text!r} has none"
            raise SpecError.of(Code.UNKNOWN_KEY, message, mapping.key(name).span, "add `branches:`, or remove it")
    shared = sorted(dict(_entries(mapping.get("params"))).keys() & dict(_entries(mapping.get("let"))).keys())
    if shared:
        message = f"{shared[0]!r} is a parameter of the block {key.text!r}; `let` cannot set it"
        raise SpecError.of(Code.BAD_NAME, message, key.span, "choose another name")
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
            raise SpecError.of(Code.BAD_VALUE, f"the body of {key.text!r} is empty", key.span, "body: identity")
        return cells
    if isinstance(cases := mapping.get("choose"), Sequence):
        return _cases(key, cases)
    branches = {name: _cells(value) for name, value in _entries(mapping.get("branches"))}
    merge = mapping.get("merge")
    if not isinstance(merge, Scalar) or len(branches) < 2:
        hint = "branches: {main: ..., shortcut: ...}, merge: add"
        raise SpecError.of(Code.MISSING_KEY, f"the block {key.text!r} needs two branches and a merge", key.span, hint)
    return Branches(branches, merge.text, _cells(mapping.get("after")))


def _cases(key: Scalar, cases: Sequence) -> tuple[Case, ...]:
    parsed = tuple(_case(case) for case in cases.items if isinstance(case, Mapping))
    if not parsed:
        message = f"the choice of {key.text!r} is empty"
        raise SpecError.of(Code.BAD_VALUE, message, cases.span, "add a case: {then: identity}")
    for case, after in zip(parsed, cases.items[1:], strict=False):
        if case.condition is None:
            hint = "only the last entry is without `if`"
            raise SpecError.of(Code.BAD_VALUE, "this entry is never reached", after.span, hint)
    return parsed


def _case(case: Mapping) -> Case:
    condition = case.get("if")
    return Case(_expression(condition) if condition else None, _cells(case.get("then")))


def _entries(value: Value | None) -> Iterable[tuple[str, Value]]:
    return ((key.text, item) for key, item in value) if isinstance(value, Mapping) else ()


def _default(value: Value) -> Expression | None:
    return None if isinstance(value, Scalar) and value.value is None else _expression(value)


def make_defaults(written: Mapping | None, blocks: Set[str], span: Span) -> Defaults:
    merged = dict(_entries(written))
    parts = dict(_entries(merged.get("bracket")))

    def need(values: dict[str, Value], key: str, where: str) -> Value:
        if key not in values:
            raise SpecError.of(Code.MISSING_KEY, f"`{where}.{key}` is not set", span, "add `use: std`")
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
        raise SpecError.of(Code.BAD_VALUE, f"{needed} is missing in this list", value.span, f"add {needed} to it")
    for item, word in zip(value.items, words, strict=True):
        if words.count(word) > 1:
            raise SpecError.of(Code.BAD_VALUE, f"{word} is listed twice", item.span, "keep one of them")
    return words


def _shortcut(value: Value, blocks: Set[str]) -> Cells:
    """Return cells; the bare name of a block is a call of it."""
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
        raise SpecError.of(Code.BAD_VALUE, f"stride_on cannot be {value.text!r}", value.span, hint)
    height, width = (Number(extent, value.span) for extent in size.extents)
    return Kernel(height, width, value.span)
