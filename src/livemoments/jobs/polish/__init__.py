"""Restore the faces of a whole clip by photographs of the same people, from file to file."""

from livemoments.jobs.polish.polish import ClipFacesConfig, polish_clip
from livemoments.jobs.polish.report import PersonReport, PolishedClip

__all__ = ["ClipFacesConfig", "PersonReport", "PolishedClip", "polish_clip"]
