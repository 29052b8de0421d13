"""What a ranker may have beside its core, on the generative side and in the DLRM alike.

A module is one file of this folder and one line in `config.ModulesConfig`. The file defines
``SETTINGS``, a frozen configuration class, and ``MODULE``, a class that is made as
``MODULE(settings, site)`` and works in one of three slots (`slots.Slot`):

* ``interest``  what else is known about a target: [t, d], beside the core's own state
* ``gate``      factors for the units of each hidden layer of the bottom
* ``bottom``    the hidden layers between a target's state and the tasks' outputs
"""
