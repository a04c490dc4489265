"""Built-in shapes: well-known models without their weights, for `shape:NAME@QUANT`."""

from vramctl.shapes.build import names, quants, shape_model

__all__ = ["names", "quants", "shape_model"]
