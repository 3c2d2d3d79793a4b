"""The one exception a user is meant to see."""


class UserError(Exception):
    """A mistake the user can mend.

    The message is one line that says what is wrong, where, and what to do. The
    command line prints it without a stack trace and exits with code 2.
    """
