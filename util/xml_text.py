"""Text that XML can contain, for what Koji's programs send to each other."""

import re
from typing import Any
from xmlrpc.client import Fault

# The characters that XML 1.0 cannot contain, not even escaped. Halves of surrogate pairs are among
# them, as which Python reads a file name that is not UTF-8.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Characters of an error. The hub takes 32 MiB, and a message can have the names of many files.
_LONGEST = 64 * 1024


def send_only_xml(*modules: Any) -> None:
    """Replace what XML cannot contain in all that the function `dumps` of these modules writes.

    Shorten the messages of errors, too.

    They are Koji's module `xmlrpcplus`, and those that import the function from it.
    """
    dumps = modules[0].dumps

    def dump_xml(*arguments: Any, **options: Any) -> str:
        if arguments and isinstance(arguments[0], Fault):
            fault = arguments[0]
            text = str(fault.faultString)
            if len(text) > _LONGEST:
                arguments = (Fault(fault.faultCode, f"{text[:_LONGEST]}..."), *arguments[1:])
        return _NOT_XML.sub("\ufffd", dumps(*arguments, **options))

    for module in modules:
        module.dumps = dump_xml
