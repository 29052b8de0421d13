"""The GPU kernels in Triton; the backend `triton`.

Nothing here imports triton before a kernel is asked for: the package is optional. The files:

* `attend`: the two functions of the backend; `passes`, `launch`, `learned`: kernel launches
* `lists`: which blocks of rows meet which blocks of keys; `places`: positions, times, tables
* `config`, `tune`: block sizes, and the choice among them
* `tile`, `tilebias`: what the kernels do with one tile; `forward`, `backward_rows`,
  `backward_keys`, `tables`: the kernels; `gradient`, `reduce`: their shares
"""
