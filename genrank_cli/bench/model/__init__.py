"""``genrank bench``: whole models, what a training step costs and where its time goes.

`plan` names the rows, `batch` makes their input, `stages` what is timed, `work` counts FLOPs and
bytes, `claims` sets the published numbers beside the measured ones, `run` makes the record.
"""
