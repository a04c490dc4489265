"""The jobs of `vramctl bench`: load, measure, judge whether the figures count, set them beside the hardware's limit."""
