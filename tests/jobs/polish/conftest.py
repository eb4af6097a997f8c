"""People on a stage and stand-ins for the networks, for every test of this room."""

from support.faces_stage import pair, stand_ins  # noqa: F401
