"""An independent PyTorch implementation of the TRELLIS networks, written from the specification.

It is the second opinion for the Rust networks: `python -m reference.check` compares it with the published
reference's numbers, the trainer of the small model builds on the same classes, and it is the baseline for speed.
Module attributes are named as the checkpoint keys, so `load_state_dict(strict=True)` checks the key tree.
"""
