"""The stage of the clip pipeline's tests: stand-ins for dlib and the model, and a Live Photo."""

from support.faces_stage import pair, stand_ins  # noqa: F401 - pytest finds fixtures by name here
