"""A command whose help shows its options in sections."""

from __future__ import annotations

import click

# Title, and the parameters listed below it in the order of the command; all others stand under the last title.
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Machine", ("gpus", "each_gpu", "ram", "utilization")),
    (
        "Settings (yours are kept, the rest is chosen)",
        (
            "contexts", "n_ctx", "engine", "program", "n_parallel", "n_batch", "n_ubatch", "n_gpu_layers", "kv_type",
            "flash_attn", "offload_kqv", "split_mode", "tensor_split", "main_gpu", "n_cpu_moe", "cpu_moe",
            "tensor_overrides", "mmproj", "draft", "swa_full", "kv_unified", "op_offload", "use_mmap", "n_threads",
        ),
    ),
    (
        "What is measured",
        (
            "prompt_tokens", "decode_tokens", "depth", "rounds", "seconds", "layers", "long_context", "parallels", "smoke",
            "everything", "floor", "against", "force",
        ),
    ),
    ("Who is asked", ("witness", "engine_path", "engine_paths", "engine_version")),
    ("Answer", ()),
)  # fmt: skip


class SectionedCommand(click.Command):
    """A command with many options: `--help` lists them by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under the titles of `SECTIONS`."""
        placed = {name for _, names in SECTIONS for name in names}
        for title, names in SECTIONS:
            records = [
                record
                for param in self.get_params(ctx)
                if isinstance(param, click.Option)
                and (param.name in names if names else param.name not in placed)
                and (record := param.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
