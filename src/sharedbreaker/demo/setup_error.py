"""What the demo says when it cannot be set up."""


class DemoSetupError(RuntimeError):
    """Something that the demo needs is not there. Says what happened and what to do."""
