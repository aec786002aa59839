"""For the Python reference: lines "name: what it is" of a docstring become a list; Markdown would run them together."""
import re

import griffe

_ARGUMENT = re.compile(r"^(\w+(?:, \w+)*): (?=\S)", re.MULTILINE)


class ArgumentLists(griffe.Extension):
    def on_object(self, *, obj, **_):
        if obj.docstring:
            paragraphs = re.split(r"\n{2,}", obj.docstring.value)
            obj.docstring.value = "\n\n".join(
                _ARGUMENT.sub(r"- **\1**: ", text) if _ARGUMENT.match(text) else text for text in paragraphs)
