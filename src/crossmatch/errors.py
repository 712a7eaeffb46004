"""The one error a person is meant to read: what is wrong, where, and the way out."""


class UserError(Exception):
    """A mistake the user can mend. The command line prints its text (no traceback) and exits with code 2.

    Write one paragraph: name the file, folder or setting, say what was found, and say what to do about it.
    """
