"""What an exception of Google's SDKs says about the service, and for how long it asks to be left alone.

Judged by status codes and by the names of classes, so that no SDK is imported: whichever is installed, and
whichever HTTP library it stands on, its errors are known here. docs/google-ai.md has the table.
"""

from sharedbreaker.google_errors.outcome import is_google_service_failure, outcome_of
from sharedbreaker.google_errors.retry_after import LONGEST_DAILY_WAIT, retry_after_of

__all__ = ["LONGEST_DAILY_WAIT", "is_google_service_failure", "outcome_of", "retry_after_of"]
