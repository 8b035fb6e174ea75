"""A server on this machine that answers as Google AI does, and misbehaves when told to.

For trying and testing code that calls Gemini and Imagen through Google's own SDKs. It needs
nothing but the standard library.
"""

from sharedbreaker.demo.google_ai_server.behaviour import (
    Behaviour,
    Content,
    Fault,
    GoogleAiService,
    Quota,
)
from sharedbreaker.demo.google_ai_server.books import Books, JournalEntry
from sharedbreaker.demo.google_ai_server.control_client import GoogleAiControl
from sharedbreaker.demo.google_ai_server.pictures import Picture, draw_png, read_png
from sharedbreaker.demo.google_ai_server.server import GoogleAiServer

__all__ = [
    "Behaviour",
    "Books",
    "Content",
    "Fault",
    "GoogleAiControl",
    "GoogleAiServer",
    "GoogleAiService",
    "JournalEntry",
    "Picture",
    "Quota",
    "draw_png",
    "read_png",
]
