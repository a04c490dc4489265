"""The page docs/shapes.md, made from the catalogue: `python -m vramctl.shapes.page > docs/shapes.md`."""

from __future__ import annotations

import sys

from vramctl.shapes.build import quants, shape_model
from vramctl.shapes.catalogue import SHAPES
from vramctl.shapes.published import PUBLISHED

_HEAD = """# Built-in shapes

`shape:NAME@QUANT` stands for a well-known model without its weights: the same architecture, tensors, types and
sizes, so a plan for it is the plan for the real file. This page is made from the catalogue:
`python -m vramctl.shapes.page > docs/shapes.md`.

Numbers are those of the config.json of the repository named, as published and as quoted in public sources (they were not
fetched from it for this table); tensor names, dimensions and metadata follow llama.cpp's
converter (conversion/ at 0c1e57098) and were loaded by that build and by xllamacpp 2026.10.11549. Where the
publisher states the exact number of weights, ours is the same ("=" below); rope factors, which converters add, are
not counted there. Types follow llama-quantize without an importance matrix, except IQ3_XXS, which needs one; they
were compared with its dry run in every file type, tensor by tensor (benchmarks/results/shapes-vs-quantize.json).
Files made with an importance matrix differ a little in IQ4_XS, IQ4_NL, Q4_0 and Q5_0; vendors' own mixtures ("UD-",
"_XL") are others altogether.

- The count checks widths and layers. What it cannot check (context length, rope base, epsilons, windows) stands as the
  configurations are known and quoted; sizes of weights do not depend on it, a cache's does on windows only.
- The header has no tokens: llama.cpp makes as many dummies as the model has, and allocates the same.
- gpt-oss keeps its experts in MXFP4, as released, in every file type; so do the published files.
- Multi-token-prediction blocks are left out, but for GLM 4.5 Air, whose published files have it.
- Vision and audio parts are separate files (mmproj) and not here.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, f"File types: {', '.join(quants())}.\n", _shapes(), _published()]
    return "\n".join(parts)


def _shapes() -> str:
    rows = ["| name | kind | architecture | layers | weights | Q4_K_M GiB | from |", "|---|---|---|---|---|---|---|"]
    for shape in SHAPES:
        model = shape_model(shape.name, "Q4_K_M")
        weights = f"{model.parameters / 1e9:.2f} B{' =' if shape.parameters else ''}"
        rows.append(
            f"| `{shape.name}` | {shape.family} | {model.architecture} | {model.layers} | {weights} "
            f"| {model.file_bytes / 2**30:.2f} | {shape.source} |"
        )
    return "\n".join(rows) + "\n"


def _published() -> str:
    rows = [
        "## Compared with published files\n",
        "What llama.cpp printed as `file size` when somebody loaded the real file, and the sum of ours.\n",
        "| shape | file type | published GiB | ours GiB | types per tensor | seen in |",
        "|---|---|---|---|---|---|",
    ]
    for item in PUBLISHED:
        model = shape_model(item.shape, item.file_type)
        ours = sum(tensor.data_bytes for tensor in model.tensors) / 2**30
        same = "equal" if item.types else item.note
        rows.append(f"| `{item.shape}` | {item.file_type} | {item.gib} | {ours:.3f} | {same} | {item.source} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
