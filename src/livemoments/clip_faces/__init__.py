"""The faces of a whole clip restored by photographs of the same people, from file to file."""

from livemoments.clip_faces.polishing import ClipFacesConfig, polish_clip
from livemoments.clip_faces.report import PersonReport, PolishedClip

__all__ = ["ClipFacesConfig", "PersonReport", "PolishedClip", "polish_clip"]
