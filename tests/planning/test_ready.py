"""What is refused before anything is loaded, and what is offered in its place."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.errors import BadInput, Wrong
from vramctl.planning import Request, make_plan
from vramctl.planning.ready import refuse_misfit
from vramctl.records import Build, HostUse, Plan, Settings
from vramctl.records.run import REFUSED, Ended
from vramctl.units import GIB

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
from small_bert import small_bert
from small_llama import small_llama

engine = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed")


def plan(model: Path, **settings: object) -> Plan:
    return make_plan(Request(model=str(model), gpus=("none",), settings=Settings(**settings)))  # type: ignore[arg-type]


@pytest.mark.engine
@engine
def test_a_context_that_is_too_long_is_answered_with_one_that_fits(tmp_path: Path) -> None:
    made = plan(small_llama(tmp_path / "small.gguf"), n_ctx=4096)
    used = HostUse(10 * GIB, 20 * GIB, 0, 0)
    small = replace(
        made,
        fits=False,
        placement=replace(made.placement, host=used),
        host=replace(made.host, available_bytes=22 * GIB),
    )
    with pytest.raises(Wrong) as raised:
        refuse_misfit(replace(small, max_ctx=3000), force=False)
    assert raised.value.because == ("system memory would need 30.00 GiB, and 22.00 GiB can be used",)
    assert raised.value.fix == "--ctx 2816 fits. --force loads it all the same."
    with pytest.raises(Wrong, match="does not fit"):
        refuse_misfit(replace(small, max_ctx=0), force=False)
    refuse_misfit(small, force=True)


@pytest.mark.engine
@engine
def test_a_model_of_embeddings_is_planned_and_not_run(tmp_path: Path) -> None:
    bert = small_bert(tmp_path / "bert.gguf")
    made = plan(bert)
    assert made.fits and made.witness.kind == "dry-run"
    with pytest.raises(BadInput) as raised:
        refuse_misfit(made, force=True)
    assert raised.value.code == "model-does-not-generate"
    build = look_build(None)
    assert isinstance(build, Build)
    with Binding(build).load(str(bert), Settings(n_ctx=512, n_threads=1)) as run:
        assert isinstance(run, Ended) and run.how == REFUSED and "embeddings" in run.what
