"""Debug lines of llama.cpp that bindings print by default: a line for every tensor and every graph input."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "tensor.loading",
        r"^loading tensor (?P<name>\S+)$",
        function=("create_tensor", "llama_model_loader"),
        fields={"name": str},
        seen="llama.cpp 2025 to 0c1e57098, printed by llama-cpp-python with verbose=True",
        example="create_tensor: loading tensor blk.0.attn_norm.weight",
        gives={"name": "blk.0.attn_norm.weight"},
    ),
    rule(
        "graph.input",
        r"^input tensor ' *(?P<name>[^']+)' \[ *(?P<type>\w+), ne = \{[ \d,]+\}\].{0,200}$",
        function="llama_graph_n_input_tensors",
        fields={"name": str, "type": str},
        seen="llama.cpp 0c1e57098, printed by llama-cpp-python with verbose=True",
        example=(
            "llama_graph_n_input_tensors: input tensor '                         inp_pos' "
            "[i32, ne = {   512,     1,     1,     1}]"
        ),
        gives={"name": "inp_pos", "type": "i32"},
    ),
)
